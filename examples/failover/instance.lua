-- One Tarantool of the example `failover`: reads how it is to be from its arguments, prints where it
-- listens when it serves, and ends when its standard input does.
--
--     tarantool instance.lua DIRECTORY ADDRESS PEERS READ_ONLY

local fiber = require('fiber')
local socket = require('socket')

box.cfg{
    work_dir = arg[1],
    listen = arg[2],
    replication = arg[3] ~= '' and arg[3]:split(',') or nil,
    read_only = arg[4] == 'true',
    log = 'tarantool.log',
    memtx_memory = 64 * 1024 * 1024,
}

box.once('example', function()
    box.schema.user.create('replicator', {password = 'secret'})
    box.schema.user.grant('replicator', 'replication')
    box.schema.user.create('operator', {password = 'secret'})
    box.schema.user.grant('operator', 'super')
    -- What docs/gateway.md asks for.
    box.schema.user.create('gateway', {password = 'secret'})
    box.schema.user.grant('gateway', 'read', 'space', '_user')
    box.schema.func.create('box.info')
    box.schema.user.grant('gateway', 'execute', 'function', 'box.info')
    box.schema.user.create('app', {password = 'secret'})
    local rows = box.schema.space.create('rows', {id = 512})
    rows:create_index('primary')
    box.schema.user.grant('app', 'read,write', 'space', 'rows')
end)

io.write(box.info.listen, '\n')
io.flush()

fiber.create(function()
    repeat
        socket.iowait(0, 'R')
    until io.read() == nil
    os.exit(0)
end)
