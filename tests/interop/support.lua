-- What support.py is for the Python suites, for netbox.lua: command line, report, the cases of
-- cases.json.

local fiber = require('fiber')
local json = require('json')

local support = {}

local NO_SUCH_PROCEDURE = 33
local PRIMARY_BY_ID = {
    'primary', {parts = {{field = 1, type = 'unsigned'}}, if_not_exists = true},
}

-- ---- command line ---------------------------------------------------------------------

-- Parses `--name value` pairs. `known` maps each name to true (required) or to its default.
function support.options(arguments, known)
    local options = {}
    for name, default in pairs(known) do
        if default ~= true then
            options[name] = default
        end
    end
    for i = 1, #arguments, 2 do
        local name = arguments[i]:match('^%-%-(.+)$')
        if name == nil or known[name] == nil then
            error('unknown argument ' .. arguments[i], 0)
        end
        if arguments[i + 1] == nil then
            error('--' .. name .. ' needs a value', 0)
        end
        options[name] = arguments[i + 1]
    end
    for name in pairs(known) do
        if options[name] == nil then
            error('--' .. name .. ' is required', 0)
        end
    end
    return options
end

-- ---- report ---------------------------------------------------------------------------

local Report = {}
Report.__index = Report

function support.report()
    return setmetatable({passed = 0, failed = 0}, Report)
end

-- Errors of the server are box errors (code, message), those of checks are tables or strings.
local function describe(problem)
    if type(problem) == 'cdata' then
        return ('error %s: %s'):format(problem.code, problem.message)
    end
    return (tostring(problem):gsub('\n', ' '))
end

-- Runs one check: it fails by raising. Tells whether it passed.
function Report:run(name, check, ...)
    local passed, problem = pcall(check, ...)
    if passed then
        self.passed = self.passed + 1
        print('ok ' .. name)
    else
        self.failed = self.failed + 1
        print(('not ok %s: %s'):format(name, describe(problem)))
    end
    io.flush()
    return passed
end

function Report:skip(name, reason)
    print(('skip %s: %s'):format(name, reason))
end

-- Ends the process.
function Report:finish()
    print(('%d passed, %d failed'):format(self.passed, self.failed))
    io.flush()
    -- Nothing checked is not a success either.
    os.exit(self.failed == 0 and self.passed > 0 and 0 or 1)
end

-- A hang is a failure, not a hanging test.
function support.fail_after(seconds, name)
    fiber.create(function()
        fiber.sleep(seconds)
        print(('not ok %s/in_time: still running after %s s'):format(name, seconds))
        io.flush()
        os.exit(1)
    end)
end

-- ---- comparing ------------------------------------------------------------------------

local function equal(a, b)
    if type(a) == 'table' and type(b) == 'table' then
        for key, value in pairs(a) do
            if not equal(value, b[key]) then
                return false
            end
        end
        for key in pairs(b) do
            -- `== nil` is true for box.NULL also, hence rawequal.
            if rawequal(a[key], nil) then
                return false
            end
        end
        return true
    end
    -- By their JSON, in which 5 and 5ULL, nil and box.NULL are the same.
    return type(a) ~= 'table' and type(b) ~= 'table' and json.encode(a) == json.encode(b)
end

function support.expect_equal(got, wanted)
    if not equal(got, wanted) then
        error(('got %s, wanted %s'):format(json.encode(got), json.encode(wanted)), 0)
    end
end

-- `message` nil: any text. Returns the error.
function support.expect_error(code, message, action, ...)
    local succeeded, result = pcall(action, ...)
    if succeeded then
        error(('got %s, wanted error %d'):format(json.encode(result), code), 0)
    end
    if type(result) ~= 'cdata' then
        error(result, 0)
    end
    support.expect_equal(result.code, code)
    if message ~= nil then
        support.expect_equal(result.message, message)
    end
    return result
end

-- ---- spaces ---------------------------------------------------------------------------

function support.drop_space(client, name)
    local dropped, problem = pcall(client.call, client, ('box.space.%s:drop'):format(name), {})
    -- No such procedure: the space is not there, nothing left over from an earlier run.
    if not dropped and problem.code ~= NO_SUCH_PROCEDURE then
        error(problem)
    end
    client:schema_changed()
end

function support.create_space(client, name, format, indexes)
    client:call('box.schema.space.create', {name, {if_not_exists = true, format = format}})
    for _, index in ipairs(indexes or {PRIMARY_BY_ID}) do
        client:call(('box.space.%s:create_index'):format(name), index)
    end
    client:schema_changed()
end

function support.in_fresh_space(client, name, check, ...)
    support.drop_space(client, name)
    support.create_space(client, name)
    local passed, problem = pcall(check, client, name, ...)
    support.drop_space(client, name)
    if not passed then
        error(problem)
    end
end

-- ---- cases.json -----------------------------------------------------------------------

-- A copy with @name written out and {"$big": digits} made a number.
local function prepared(value, suite)
    if type(value) == 'string' then
        return (value:gsub('@', 'interop_' .. suite .. '_'))
    end
    if type(value) ~= 'table' then
        return value
    end
    if value['$big'] ~= nil then
        return tonumber64(value['$big'])
    end
    -- The metatable tells an empty array from an empty map.
    local copy = setmetatable({}, getmetatable(value))
    for key, item in pairs(value) do
        copy[key] = prepared(item, suite)
    end
    return copy
end

local function load_cases(directory, suite)
    local file = assert(io.open(directory .. '/cases.json'))
    local document = json.decode(file:read('*a'))
    file:close()
    return prepared(document, suite)
end

local function set_up_group(client, document, group, names)
    for short, name in pairs(names) do
        local space = document.spaces[short]
        support.drop_space(client, name)
        support.create_space(client, name, space.format, space.indexes)
    end
    for short, rows in pairs(group.rows or {}) do
        for _, row in ipairs(rows) do
            client:replace(names[short], row)
        end
    end
end

local function tear_down_group(client, names)
    for _, name in pairs(names) do
        support.drop_space(client, name)
    end
end

local function run_case(client, case, server)
    local ok, failure = case.ok, case.error
    if server == 'tarantool' and (case.ok26 or case.error26) then
        ok, failure = case.ok26, case.error26
    end
    local request = case['do']
    local method = client[request[1]]
    if failure ~= nil then
        support.expect_error(failure[1], failure[2], method, client, unpack(request, 2))
        return
    end
    local result = method(client, unpack(request, 2))
    if ok ~= nil then
        support.expect_equal(result, ok)
    end
end

function support.run_cases(client, report, directory, suite, server)
    local document = load_cases(directory, suite)
    for _, group in ipairs(document.groups) do
        local names = {}
        for _, short in ipairs(group.spaces) do
            names[short] = ('interop_%s_%s'):format(suite, short)
        end
        if report:run(group.name .. '/setup', set_up_group, client, document, group, names) then
            for _, case in ipairs(group.cases) do
                local name = group.name .. '/' .. case.name
                local reason = case.not_for and case.not_for[suite]
                if reason then
                    report:skip(name, reason)
                else
                    report:run(name, run_case, client, case, server)
                end
            end
            report:run(group.name .. '/teardown', tear_down_group, client, names)
        end
    end
end

return support
