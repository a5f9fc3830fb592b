#!/usr/bin/env tarantool
-- The reference of the differential test: a real Tarantool on a loopback port that the system
-- picks, in a directory of its own:
--
--     tarantool reference.lua /some/empty/dir
--
-- Prints its address once it serves. It ends when its standard input does.

local here = debug.getinfo(1, 'S').source:match('^@(.*)/[^/]*$') or '.'
local serve = assert(loadfile(here .. '/../support/serve.lua'))

box.cfg{
    listen = '127.0.0.1:0',
    work_dir = arg[1],
    log = 'tarantool.log',
    log_level = 'warn',
    checkpoint_interval = 0,
    -- Without a journal no request yields, so that pipelined requests are executed in their order.
    wal_mode = 'none',
}
-- Tarantool's guest may do nothing by default.
box.schema.user.grant('guest', 'super')

-- A space object holds functions, which a reply cannot carry: called over the network, 2.6 creates
-- the space and then fails to say so.
local create_space = box.schema.space.create
box.schema.space.create = function(...)
    local space = create_space(...)
    return {id = space.id, name = space.name}
end

serve()
