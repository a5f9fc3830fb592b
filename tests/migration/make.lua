-- Makes a directory of files, and writes the rows of every space there, as JSON, one a line:
-- tarantool make.lua DIRECTORY held|unheld|collated
local directory, what = arg[1], arg[2]
box.cfg{wal_dir = directory, memtx_dir = directory, vinyl_dir = directory,
        log = directory .. '/log', log_level = 2, wal_max_size = 16384}

local things = box.schema.space.create('things', {format = {
    {'id', 'unsigned'}, {'name', 'string'}, {'n', 'integer', is_nullable = true}}})
things:create_index('pk')
things:create_index('by_name', {parts = {'name'}})
things:create_index('by_n', {parts = {{'n', is_nullable = true}}, unique = false})
local auto = box.schema.space.create('auto')
auto:create_index('pk', {sequence = true})
local by_text = box.schema.space.create('by_text')
by_text:create_index('pk', {type = 'hash', parts = {{2, 'string'}, {1, 'integer'}}})
local counter = box.schema.sequence.create('counter', {start = 10, step = 5})
counter:next()

box.schema.user.create('alice', {password = 'secret'})
box.schema.role.create('staff')
box.schema.user.grant('alice', 'staff')
box.schema.user.grant('alice', 'read,write', 'space', 'things')
box.schema.role.grant('staff', 'read', 'space', 'auto')
box.schema.user.passwd('admin', 'geheim')
box.schema.func.create('report')
box.schema.role.grant('staff', 'execute', 'function', 'report')

for i = 1, 1000 do things:insert{i, 'name ' .. i, i % 7} end
for i = 1, 10 do auto:insert{nil, 'row ' .. i} end
for i = 1, 20 do by_text:insert{-i, 'text ' .. i % 3, {a = {i, i + 0.5}, b = box.NULL}} end
box.snapshot()

-- What only the logs have, over several files.
for i = 1, 200 do things:update(i, {{'+', 'n', 100}, {'=', 2, 'changed ' .. i}}) end
for i = 201, 400 do things:delete(i) end
things.index.by_name:delete('name 500')
things:upsert({5000, 'upserted', 1}, {{'+', 3, 1}})
things:upsert({5000, 'upserted', 1}, {{'+', 3, 7}})
box.begin()
for i = 1, 500 do things:replace{10000 + i, ('x'):rep(200) .. i, i} end
box.commit()
box.begin()
things:delete(10001)
box.rollback()
for i = 1, 3 do auto:insert{nil, 'late ' .. i} end
auto:delete(13)
counter:next()
local gone = box.schema.space.create('gone')
gone:create_index('pk')
gone:insert{1}
gone:drop()
local emptied = box.schema.space.create('emptied')
emptied:create_index('pk')
emptied:insert{1}
emptied:truncate()
emptied:insert{2}
by_text:format({{'number', 'integer'}, {'text', 'string'}})
by_text.index.pk:alter({parts = {{1, 'integer'}}})
things:rename('items')
box.schema.user.revoke('guest', 'session', 'universe')

if what == 'unheld' then
    box.schema.space.create('cold', {engine = 'vinyl'}):create_index('pk')
    box.schema.space.create('map'):create_index('pk')
    box.space.map:create_index('places', {type = 'rtree', unique = false, parts = {{2, 'array'}}})
    box.space.map:insert{1, {2, 3}}
end

if what == 'collated' then
    local words = box.schema.space.create('words', {format = {
        {'id', 'unsigned'}, {name = 'word', type = 'string', collation = 'unicode_ci'}}})
    words:create_index('pk')
    words:create_index('word', {parts = {{'word', collation = 'unicode_ci'}}})
    words:create_index('swedish', {parts = {{'word', collation = 'unicode_sv_s3'}}, unique = false})
    for i, word in ipairs{'Zebra', 'ärlig', 'Öl', 'apa', 'ångest', 'Straße'} do
        words:insert{i, word}
    end
    box.snapshot()
    words:update(4, {{'=', 'word', 'APA'}})
    words.index.word:delete('STRASSE')
end

local json, fio = require('json'), require('fio')
local out = fio.open(directory .. '/expected', {'O_CREAT', 'O_WRONLY'}, tonumber('644', 8))
for _, row in box.space._space:pairs() do
    if row.id >= 512 and row.engine == 'memtx' then
        for _, tuple in box.space[row.id]:pairs() do
            out:write(('{"space":"%s","tuple":%s}\n'):format(row.name, json.encode(tuple)))
        end
    end
end
for _, name in ipairs({'_user', '_sequence_data'}) do
    for _, tuple in box.space[name]:pairs() do
        out:write(('{"space":"%s","tuple":%s}\n'):format(name, json.encode(tuple)))
    end
end
out:close()
-- Without a chance to close its log.
require('ffi').cdef('int kill(int, int); int getpid(void);')
require('ffi').C.kill(require('ffi').C.getpid(), 9)
