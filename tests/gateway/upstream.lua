#!/usr/bin/env tarantool
-- An upstream of the tests of the gateway: a real Tarantool in a directory of its own, on a given
-- port, on one that the system picks, or at a unix socket:
--
--     tarantool upstream.lua /some/dir 127.0.0.1:0
--
-- and, as a replica that is read-only, of the one at an address:
--
--     tarantool upstream.lua /other/dir 127.0.0.1:0 alice:secret@127.0.0.1:3301
--
-- Prints its address once it serves. It ends when its standard input does.

local here = debug.getinfo(1, 'S').source:match('^@(.*)/[^/]*$') or '.'
local serve = assert(loadfile(here .. '/../support/serve.lua'))

box.cfg{
    listen = arg[2],
    work_dir = arg[1],
    log = 'tarantool.log',
    log_level = 'warn',
    memtx_memory = 32 * 1024 * 1024,
    checkpoint_interval = 0,
    replication = arg[3],
    read_only = arg[3] ~= nil,
}

box.once('accounts', function()
    box.schema.user.create('alice', {password = 'secret'})
    box.schema.user.grant('alice', 'super')
    -- What docs/gateway.md asks for.
    box.schema.user.create('gateway', {password = 'planted-gateway'})
    for _, name in ipairs({'_user', '_space', '_index'}) do
        box.schema.user.grant('gateway', 'read', 'space', name)
    end
    box.schema.func.create('box.info')
    box.schema.user.grant('gateway', 'execute', 'function', 'box.info')
    local rows = box.schema.space.create('rows', {id = 512})
    rows:create_index('primary')
    -- Its rows are not replicated.
    box.schema.space.create('own', {id = 513, is_local = true}):create_index('primary')
end)

serve()
