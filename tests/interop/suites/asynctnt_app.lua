-- What the suite of asynctnt has its Tarantool set up, which its source distribution lacks: made by
-- what its tests ask for.

local decimals = pcall(require, 'decimal') and _TARANTOOL >= '2.3'
local datetimes = pcall(require, 'datetime')

-- The first one, whose number is 512 then.
local function make_tester()
    local space = box.schema.create_space('tester', {format = {
        {name = 'f1', type = 'unsigned'},
        {name = 'f2', type = 'string'},
        {name = 'f3', type = 'unsigned', is_nullable = true},
        {name = 'f4', type = 'unsigned', is_nullable = true},
        {name = 'f5', type = '*', is_nullable = true},
    }})
    space:create_index('primary', {parts = {1, 'unsigned'}})
    space:create_index('txt', {parts = {2, 'string'}, unique = false})
end

local function make_others()
    local space = box.schema.create_space('no_schema_space')
    space:create_index('primary', {parts = {1, 'unsigned'}})
    space:create_index('primary_hash', {parts = {1, 'unsigned'}, type = 'hash'})
    local kinds = {dec = decimals and 'decimal', uuid = 'uuid', datetime = datetimes and 'datetime'}
    for name, kind in pairs(kinds) do
        if kind then
            local second = name == 'datetime' and 'dt' or name
            local format = {{name = 'id', type = 'unsigned'}, {name = second, type = kind}}
            space = box.schema.create_space('tester_ext_' .. name, {format = format})
            space:create_index('primary', {parts = {1, 'unsigned'}})
        end
    end
end

local function make_tables()
    box.execute([[create table sql_space (
        id int primary key, name text collate "unicode")]])
    for _, name in ipairs({'sql_space_autoincrement', 'sql_space_autoincrement_multiple'}) do
        box.execute('create table ' .. name .. ' (id int primary key autoincrement, name text)')
    end
end

-- The number of an index, in the shape in which the suite's console wants it.
function make_third_index(name)
    local index = box.space.tester:create_index(name, {parts = {3, 'unsigned'}})
    return {index.id}
end

function change_format()
    local format = box.space.tester:format()
    table.insert(format, {name = 'f6', type = '*', is_nullable = true})
    box.space.tester:format(format)
end

function truncate()
    for _, name in ipairs({'tester', 'no_schema_space', 'tester_ext_dec', 'tester_ext_uuid',
                           'tester_ext_datetime', 'SQL_SPACE', 'SQL_SPACE_AUTOINCREMENT',
                           'SQL_SPACE_AUTOINCREMENT_MULTIPLE'}) do
        if box.space[name] ~= nil then
            box.space[name]:truncate()
        end
    end
end

function func_hello()
    return {'hello'}
end

function func_hello_bare()
    return 'hello'
end

function func_param(value)
    return {value}
end

function func_param_bare(value)
    return value
end

function func_long(seconds)
    require('fiber').sleep(seconds)
    return 'ok'
end

function func_load_bin_str()
    return box.space.tester:insert({100, '\xff\xfe\x00\x80', 12, 15, 'hello'})
end

_G['raise'] = function()
    box.error{reason = 'my reason', code = 0}
end

function async_action()
    for number = 1, 5 do
        box.session.push('hello_' .. number)
        require('fiber').sleep(0.01)
    end
    return 'ret'
end

make_tester()
make_others()
make_tables()
box.schema.user.grant('guest', 'create,alter,drop', 'universe')
for _, name in ipairs({'t1', 't2'}) do
    box.schema.user.create(name, {password = name})
    box.schema.user.grant(name, 'read,write,execute,create,alter,drop', 'universe')
end
