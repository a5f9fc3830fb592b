-- The end of a script that starts a Tarantool for a test: prints its address, for it serves by now,
-- and has it end when its standard input does.

local fiber = require('fiber')
local socket = require('socket')

-- Of a unix socket it does not tell the path.
local listens_by_tcp = box.info.listen:match(':%d+$')
io.write(listens_by_tcp and box.info.listen or box.cfg.listen, '\n')
io.flush()

fiber.create(function()
    repeat
        socket.iowait(0, 'R')
    until io.read() == nil
    os.exit(0)
end)
