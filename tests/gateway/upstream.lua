#!/usr/bin/env tarantool
-- An upstream of the tests of the gateway: a real Tarantool in a directory of its own, on a given
-- port or on one that the system picks:
--
--     tarantool upstream.lua /some/dir 127.0.0.1:0
--
-- Prints its address once it serves. It ends when its standard input does.

local fiber = require('fiber')
local socket = require('socket')

box.cfg{
    listen = arg[2],
    work_dir = arg[1],
    log = 'tarantool.log',
    log_level = 'warn',
    memtx_memory = 32 * 1024 * 1024,
    checkpoint_interval = 0,
}

box.once('accounts', function()
    box.schema.user.create('alice', {password = 'secret'})
    box.schema.user.grant('alice', 'super')
    -- What docs/gateway.md asks for.
    box.schema.user.create('gateway', {password = 'planted-gateway'})
    box.schema.user.grant('gateway', 'read', 'space', '_user')
    box.schema.func.create('box.info')
    box.schema.user.grant('gateway', 'execute', 'function', 'box.info')
    local rows = box.schema.space.create('rows', {id = 512})
    rows:create_index('primary')
end)

io.write(box.info.listen, '\n')
io.flush()

fiber.create(function()
    repeat
        socket.iowait(0, 'R')
    until io.read() == nil
    os.exit(0)
end)
