#!/usr/bin/env tarantool
-- Starts a real Tarantool, so that the suites can be checked against the server they claim to
-- describe:
--
--     tarantool reference.lua --addr 127.0.0.1:3301 --work-dir /some/empty/dir
--
-- Prints READY once it serves. Started again on the same work dir it recovers its data. Stop it
-- with SIGTERM.

local here = debug.getinfo(1, 'S').source:match('^@(.*)/[^/]*$') or '.'
package.path = here .. '/?.lua;' .. package.path

local fio = require('fio')
local options = require('support').options(arg, {addr = true, ['work-dir'] = true})

fio.mktree(options['work-dir'])
box.cfg{
    listen = options.addr,
    work_dir = options['work-dir'],
    -- The suites store values of 1 MiB; Tarantool's default is exactly too small for them.
    memtx_max_tuple_size = 16 * 1024 * 1024,
    log_level = 'warn',
    checkpoint_interval = 0,
}

-- Tarantool's guest may do nothing by default, the suites do their set-up as guest.
box.schema.user.grant('guest', 'super', nil, nil, {if_not_exists = true})
box.schema.user.create('interop', {password = 'interop', if_not_exists = true})
box.schema.user.grant('interop', 'super', nil, nil, {if_not_exists = true})

-- A space object holds functions, which a reply cannot carry: called over the network, 2.6
-- creates the space and then fails to say so. The suites want the space, not its description.
local create_space = box.schema.space.create
box.schema.space.create = function(...)
    create_space(...)
end

io.write('READY\n')
io.flush()
