#!/usr/bin/env tarantool
-- An upstream of the tests of the gateway that listens and has no data: it waits for others of its
-- replica set, which never come.
--
--     tarantool unbootstrapped.lua /some/dir unix/:/some/dir/socket
--
-- Prints its address once it listens. It ends when its standard input does.

local fiber = require('fiber')
local fio = require('fio')
local socket = require('socket')

fiber.create(function()
    while not fio.path.exists((arg[2]:gsub('^unix/:', ''))) do
        fiber.sleep(0.01)
    end
    io.write(arg[2], '\n')
    io.flush()
    repeat
        socket.iowait(0, 'R')
    until io.read() == nil
    os.exit(0)
end)

box.cfg{
    listen = arg[2],
    work_dir = arg[1],
    log = 'tarantool.log',
    replication = {'127.0.0.1:1', '127.0.0.1:2'},
    replication_connect_timeout = 3600,
}
