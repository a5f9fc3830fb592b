-- A Lua console with the data of a vestibule: in place of the one that a connector's own suite
-- opens in the Tarantool it starts. `box` is nothing but requests to the server at the port given;
-- the rest of Lua is that of the Tarantool that runs this. Reads one chunk a line, answers each
-- by one line of JSON: the list of the values returned, or of {error = ...} alone.

local json = require('json')
local net_box = require('net.box')

-- Consoles are the administrator's.
local function connect(options)
    local made = net_box.connect('127.0.0.1', tonumber(arg[1]), options)
    assert(made.state == 'active', made.error)
    return made
end
local guest = connect()
guest:call('box.schema.user.passwd', {'admin', 'admin'})
guest:close()
local connection = connect({user = 'admin', password = 'admin'})

-- A function of the server.
local function procedure(name)
    return function(...)
        return connection:call(name, {...})
    end
end

-- Names below one that the server knows as functions.
local function procedures(prefix, made)
    return setmetatable(made or {}, {__index = function(_, name)
        return procedure(prefix .. '.' .. name)
    end})
end

local data_methods = {
    insert = true, replace = true, update = true, upsert = true, delete = true,
    get = true, select = true,
}

-- What definitions return is an object in Lua: with methods, and printed as the server says it.
local function object(name, definition)
    return setmetatable(definition, {__index = function(_, method)
        return function(_, ...)
            if data_methods[method] then
                connection:reload_schema()
                local space = connection.space[name]
                return space[method](space, ...)
            end
            return connection:call('box.space.' .. name .. ':' .. method, {...})
        end
    end})
end

-- The fields without what the server refuses: the rest of a set-up is made, and the tests that need
-- it fail.
local function without_foreign_keys(options)
    local reduced = table.deepcopy(options)
    for _, field in ipairs(reduced.format or {}) do
        field.foreign_key = nil
    end
    return reduced
end

local function create_space(name, options)
    local function create(asked)
        return {connection:call('box.schema.space.create', {name, asked})}
    end
    local ok, returned = pcall(create, options or {})
    if not ok and tostring(returned):find("option 'foreign_key'", 1, true) then
        ok, returned = pcall(create, without_foreign_keys(options))
    end
    if not ok then
        error(returned, 0)
    end
    if type(returned[1]) == 'table' then
        returned[1] = object(name, returned[1])
    end
    return unpack(returned)
end

-- A server that is read only is a replica.
local function configure(options)
    for name in pairs(options) do
        assert(name == 'read_only', 'box.cfg{' .. name .. '} is out of reach of a request')
    end
    assert(options.read_only ~= nil, 'box.cfg{} is out of reach of a request')
    if options.read_only ~= connection:call('box.info').ro then
        connection:call(options.read_only and 'vestibule.demote' or 'vestibule.promote')
    end
end

local box = {
    NULL = box.NULL,
    cfg = configure,
    schema = {
        space = procedures('box.schema.space', {create = create_space}),
        create_space = create_space,
        user = procedures('box.schema.user'),
        role = procedures('box.schema.role'),
        func = procedures('box.schema.func'),
    },
    space = setmetatable({}, {__index = function(_, name)
        return object(name, {})
    end}),
}
setmetatable(box, {__index = function(_, name)
    if name == 'info' then
        return connection:call('box.info')
    end
    error('box.' .. name .. ' is out of reach of a request')
end})

-- The server has this type, the Lua here may not: what needs more than to see the module fails.
if not pcall(require, 'datetime') then
    package.loaded.datetime = {}
end

-- Chunks set globals, and see this `box`.
local environment = setmetatable({box = box}, {__index = _G, __newindex = function(_, name, value)
    rawset(_G, name, value)
end})

local function answer(ok, ...)
    if not ok then
        return {{error = tostring((...))}}
    end
    local values = {}
    for position = 1, select('#', ...) do
        local value = select(position, ...)
        values[position] = value == nil and box.NULL or value
    end
    return values
end

for line in io.lines() do
    local chunk, problem = loadstring('return ' .. line, '=console')
    if chunk == nil then
        chunk, problem = loadstring(line, '=console')
    end
    local values
    if chunk == nil then
        values = answer(false, problem)
    else
        values = answer(pcall(setfenv(chunk, environment)))
    end
    local ok, text = pcall(json.encode, values)
    io.write(ok and text or json.encode(answer(false, text)), '\n')
    io.flush()
end
os.exit(0)
