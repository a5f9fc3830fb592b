#!/usr/bin/env tarantool
-- Drives a running server with net.box, Tarantool's own client, as it is in Debian's `tarantool`:
--
--     tarantool netbox.lua --addr HOST:PORT --phase basic|write|verify|reconnect|blocked|control
--                          [--server vestibule|tarantool] [--user NAME --password WORD]

local here = debug.getinfo(1, 'S').source:match('^@(.*)/[^/]*$') or '.'
package.path = here .. '/?.lua;' .. package.path

local fiber = require('fiber')
local net_box = require('net.box')
local socket = require('socket')
local support = require('support')
local expect_equal, expect_error = support.expect_equal, support.expect_error

local SUITE = 'netbox'
local REQUEST_TIMEOUT_S = 15
local RECONNECT_LIMIT_S = 30
local PHASE_LIMIT_S = 120
-- A blocked server must answer at once; this bound is for a loaded test machine, not a statement
-- about the server.
local BLOCKED_STEP_LIMIT_S = 5
local PIPELINED = 1000
local BUSY = 116
local PERSISTED = 'persist_' .. SUITE
local PERSISTED_ROWS = 100
local PERSISTED_FORMAT = {
    {name = 'id', type = 'unsigned'},
    {name = 'name', type = 'string'},
    {name = 'number', type = 'integer'},
    {name = 'list', type = 'array'},
}
local STATE_KEYS = {
    'state', 'role', 'epoch', 'reason', 'progress', 'since', 'queued', 'in_flight', 'connections',
}

-- ---- client: results as plain tables, fields counted from 0 as in cases.json ----------

local Client = {}
Client.__index = Client

local function with_timeout(options)
    local all = {timeout = REQUEST_TIMEOUT_S}
    for name, value in pairs(options or {}) do
        all[name] = value
    end
    return all
end

local function rows(result)
    if result == nil then
        return {}
    end
    if box.tuple.is(result) then
        return {result:totable()}
    end
    local plain = {}
    for i, tuple in ipairs(result) do
        plain[i] = tuple:totable()
    end
    return plain
end

-- net.box tells the server that fields, and offsets in strings, count from 1.
local function from_one(ops)
    local translated = {}
    for i, op in ipairs(ops) do
        local copy = {unpack(op)}
        for _, place in ipairs(op[1] == ':' and {2, 3} or {2}) do
            if type(copy[place]) == 'number' and copy[place] >= 0 then
                copy[place] = copy[place] + 1
            end
        end
        translated[i] = copy
    end
    return translated
end

function Client:space(name)
    return self.connection.space[name] or error('net.box does not see space ' .. name, 0)
end

function Client:index(space, index)
    return self:space(space).index[index]
        or error(('net.box does not see index %s of %s'):format(index, space), 0)
end

function Client:insert(space, row)
    return rows(self:space(space):insert(row, with_timeout()))
end

function Client:replace(space, row)
    return rows(self:space(space):replace(row, with_timeout()))
end

function Client:select(space, index, key, options)
    return rows(self:index(space, index):select(key, with_timeout(options)))
end

function Client:update(space, index, key, ops)
    return rows(self:index(space, index):update(key, from_one(ops), with_timeout()))
end

function Client:delete(space, index, key)
    return rows(self:index(space, index):delete(key, with_timeout()))
end

function Client:upsert(space, row, ops)
    return rows(self:space(space):upsert(row, from_one(ops), with_timeout()))
end

function Client:call(name, arguments)
    return {self.connection:call(name, arguments, with_timeout())}
end

function Client:ping()
    if not self.connection:ping(with_timeout()) then
        error('ping failed, connection is ' .. self.connection.state, 0)
    end
end

function Client:schema_changed()
    self.connection:reload_schema()
end

function Client:close()
    self.connection:close()
end

local function connect(options, settings)
    local all = {connect_timeout = REQUEST_TIMEOUT_S}
    for name, value in pairs(settings or {}) do
        all[name] = value
    end
    local connection = net_box.connect(options.addr, all)
    if connection.error ~= nil then
        error(connection.error, 0)
    end
    return setmetatable({connection = connection}, Client)
end

-- ---- phase basic ----------------------------------------------------------------------

local phases = {}

local function check_greeting(client, server)
    -- major, minor and patch in a byte each.
    local minimum = server == 'tarantool' and 0x020600 or 0x020b00
    if client.connection.peer_version_id < minimum then
        error(('greets as version %06x'):format(client.connection.peer_version_id), 0)
    end
    expect_equal(#client.connection.peer_uuid, 36)
    expect_equal(client.connection.protocol, 'Binary')
end

local function check_schema(client)
    local connection = client.connection
    expect_equal(connection.state, 'active')
    expect_equal(connection.space._vspace.id, 281)
    expect_equal(connection.space._vindex.index.name.id, 2)
    -- By number as well as by name.
    expect_equal(connection.space[289].name, '_vindex')
end

local function check_parts(client, space)
    local part = client:index(space, 'primary').parts[1]
    expect_equal(part.fieldno, 1)
    expect_equal(part.type, 'unsigned')
    expect_equal(client:index(space, 'primary').unique, true)
end

local function check_box_info(client)
    local info = client:call('box.info', {})[1]
    expect_equal(info.ro, false)
    expect_equal(info.status, 'running')
end

local function check_call_16(client)
    -- CALL_16 wraps the returned map into a tuple, and net.box hands over a table of tuples.
    local tuple = client:call('box.info', {})[1][1]
    expect_equal(tuple[1].status, 'running')
    expect_error(33, "Procedure 'no.such' is not defined", client.call, client, 'no.such', {})
end

local function check_big_values(client, space)
    local big = ('x'):rep(2 ^ 20)
    expect_equal(client:replace(space, {1, big}), {{1, big}})
    expect_equal(client:select(space, 0, {1}), {{1, big}})
    -- Ten of them in one reply: far beyond any socket buffer.
    for key = 2, 10 do
        client:replace(space, {key, big})
    end
    local found = client:select(space, 0, {}, {iterator = 'ALL'})
    expect_equal(#found, 10)
    for key, row in ipairs(found) do
        expect_equal({row[1], #row[2]}, {key, #big})
    end
    client:ping()
end

local function check_get(client, space)
    client:insert(space, {1, 'one'})
    expect_equal(client:space(space):get({1}):totable(), {1, 'one'})
    expect_equal(client:space(space):get({2}), nil)
end

local function results(futures)
    local all = {}
    for i, future in ipairs(futures) do
        local result, problem = future:wait_result(REQUEST_TIMEOUT_S)
        if problem ~= nil then
            error(problem)
        end
        all[i] = rows(result)
    end
    return all
end

local function check_pipelining(client, space)
    local handle = client:space(space)
    local futures = {}
    for key = 1, PIPELINED do
        futures[key] = handle:insert({key, 'row ' .. key}, {is_async = true})
    end
    local written = results(futures)
    for key = 1, PIPELINED do
        futures[key] = handle:select({key}, {is_async = true})
    end
    local read = results(futures)
    for key = 1, PIPELINED do
        expect_equal(written[key], {{key, 'row ' .. key}})
        expect_equal(read[key], {{key, 'row ' .. key}})
    end
end

-- An object of net.box outlives its space, and then asks for a space that is not there.
local function check_stale_space(client)
    local name = 'interop_netbox_stale'
    support.drop_space(client, name)
    support.create_space(client, name)
    local stale = client:space(name)
    support.drop_space(client, name)
    local message = ("Space '%d' does not exist"):format(stale.id)
    expect_error(36, message, stale.insert, stale, {1}, with_timeout())
    expect_error(36, message, stale.select, stale, {1}, with_timeout())
    expect_equal(client.connection.space[name], nil)
end

-- net.box sees a change of the schema in the next reply, without being told to look.
local function check_schema_follows(client)
    local name = 'interop_netbox_follows'
    support.drop_space(client, name)
    client:call('box.schema.space.create', {name, {if_not_exists = true}})
    local primary = {'primary', {parts = {1, 'unsigned'}}}
    client:call(('box.space.%s:create_index'):format(name), primary)
    client:ping()
    local deadline = fiber.clock() + REQUEST_TIMEOUT_S
    local function seen()
        local space = client.connection.space[name]
        return space ~= nil and space.index.primary ~= nil
    end
    while not seen() do
        if fiber.clock() > deadline then
            error('the new space was not noticed', 0)
        end
        fiber.sleep(0.01)
    end
    support.drop_space(client, name)
end

-- net.box 2.6 keeps the text of a failed login, not its code.
local function expect_no_login(options, user, password, message)
    local login = {user = user, password = password, connect_timeout = REQUEST_TIMEOUT_S}
    local connection = net_box.connect(options.addr, login)
    expect_equal(connection.state, 'error')
    expect_equal(tostring(connection.error), message)
    connection:close()
end

local function check_login(client, options)
    local user, password = 'interop_netbox_user', 's3cret-пароль'
    local stranger = 'interop_netbox_stranger'
    local wrong = 'User not found or supplied credentials are invalid'
    local unknown = wrong
    if options.server == 'tarantool' then
        -- 2.6 lets a client find out which users exist; today's Tarantool does not.
        wrong, unknown = "Incorrect password supplied for user '%s'", "User '%s' is not found"
    end
    local no_such_user = 45
    local dropped, problem = pcall(client.call, client, 'box.schema.user.drop', {user})
    if not dropped and problem.code ~= no_such_user then
        error(problem)
    end
    client:call('box.schema.user.create', {user, {password = password}})
    local logged_in = connect(options, {user = user, password = password})
    logged_in:ping()
    logged_in:close()
    expect_no_login(options, user, 'wrong', wrong:format(user))
    expect_no_login(options, stranger, 'any', unknown:format(stranger))
    client:call('box.schema.user.drop', {user})
    expect_no_login(options, user, password, unknown:format(user))
end

-- A user gets rights, and loses them while connected.
local function check_rights(client, options)
    local user, space = 'interop_netbox_reader', 'interop_netbox_shown'
    local function denied(right, what)
        return ("%s access to %s is denied for user '%s'"):format(right, what, user)
    end
    support.drop_space(client, space)
    support.create_space(client, space)
    client:call('box.schema.user.drop', {user, {if_exists = true}})
    client:call('box.schema.user.create', {user, {password = 'x'}})
    local login = connect(options, {user = user, password = 'x'})
    local reader = login.connection
    expect_equal(reader.space[space], nil)
    expect_equal(reader.space._space, nil)
    expect_equal(reader.space._vspace.name, '_vspace')
    expect_error(42, denied('Execute', "function 'nosuch'"), login.call, login, 'nosuch', {})
    client:call('box.schema.user.grant', {user, 'read', 'space', space})
    login:close()
    login = connect(options, {user = user, password = 'x'})
    reader = login.connection
    expect_equal(#reader.space[space]:select(), 0)
    expect_error(42, denied('Write', ("space '%s'"):format(space)),
        reader.space[space].insert, reader.space[space], {1})
    client:call('box.schema.user.grant', {user, 'write', 'space', space})
    reader.space[space]:insert({1})
    client:call('box.schema.user.revoke', {user, 'write', 'space', space})
    expect_error(42, denied('Write', ("space '%s'"):format(space)),
        reader.space[space].insert, reader.space[space], {2})
    login:close()
    if options.server == 'vestibule' then
        -- The guest of a real Tarantool is not admin, whatever it was granted.
        client:call('box.schema.user.disable', {user})
        expect_no_login(options, user, 'x', denied('Session', "universe ''"))
    end
    client:call('box.schema.user.drop', {user})
    support.drop_space(client, space)
end

function phases.basic(options, report)
    local client = connect(options)
    report:run('connect/greeting', check_greeting, client, options.server)
    report:run('connect/ping', client.ping, client)
    report:run('connect/schema', check_schema, client)
    support.run_cases(client, report, here, SUITE, options.server)
    report:run('call/box_info', check_box_info, client)
    report:run('call/call_16', check_call_16, connect(options, {call_16 = true}))
    local fresh = {
        big_values = check_big_values,
        get = check_get,
        index_parts = check_parts,
        pipelining = check_pipelining,
    }
    for name, check in pairs(fresh) do
        report:run(name, support.in_fresh_space, client, 'interop_netbox_' .. name, check)
    end
    report:run('stale_space', check_stale_space, client)
    report:run('schema_follows', check_schema_follows, client)
    report:run('auth/login', check_login, client, options)
    report:run('auth/rights', check_rights, client, options)
    client:close()
end

-- ---- phases write, verify, reconnect --------------------------------------------------

local function persisted_row(number)
    return {number, ('row %d ä'):format(number), number * number - 50, {number, {number + 1}}}
end

local function check_rows(client)
    local found = client:select(PERSISTED, 'primary', {}, {iterator = 'ALL'})
    expect_equal(#found, PERSISTED_ROWS)
    for number, row in ipairs(found) do
        expect_equal(row, persisted_row(number))
    end
end

function phases.write(options, report)
    local client = connect(options)
    report:run('write/create', function()
        support.drop_space(client, PERSISTED)
        support.create_space(client, PERSISTED, PERSISTED_FORMAT)
    end)
    report:run('write/rows', function()
        for number = 1, PERSISTED_ROWS do
            expect_equal(client:insert(PERSISTED, persisted_row(number)), {persisted_row(number)})
        end
    end)
    report:run('write/read_back', check_rows, client)
end

function phases.verify(options, report)
    local client = connect(options)
    report:run('verify/catalogue', function()
        local format = client:call(('box.space.%s:format'):format(PERSISTED), {})
        expect_equal(format, {PERSISTED_FORMAT})
    end)
    report:run('verify/rows', check_rows, client)
    report:run('verify/still_unique', function()
        expect_error(3, nil, client.insert, client, PERSISTED, persisted_row(1))
    end)
    report:run('verify/still_writes', function()
        expect_equal(client:replace(PERSISTED, persisted_row(7)), {persisted_row(7)})
    end)
end

-- net.box reconnects in the background; until then every request fails at once.
local function connected_again(client)
    local deadline = fiber.clock() + RECONNECT_LIMIT_S
    while not client.connection:ping({timeout = REQUEST_TIMEOUT_S}) do
        if fiber.clock() > deadline then
            error('still not connected, connection is ' .. client.connection.state, 0)
        end
        fiber.sleep(0.05)
    end
end

local function wait_for_restart()
    print('READY')
    io.flush()
    -- Waits beside the fibers of net.box; a plain read would stop them.
    socket.iowait(0, 'R')
    if io.read('*l') == nil then
        error('stdin was closed: expected a line once the server was restarted', 0)
    end
end

function phases.reconnect(options, report)
    local space = 'reconnect_' .. SUITE
    local client = connect(options, {reconnect_after = 0.1})
    local before = report:run('reconnect/before', function()
        support.drop_space(client, space)
        support.create_space(client, space)
        expect_equal(client:insert(space, {1, 'before'}), {{1, 'before'}})
    end)
    if not before then
        return
    end
    wait_for_restart()
    report:run('reconnect/connector_came_back', connected_again, client)
    report:run('reconnect/old_row', function()
        expect_equal(client:select(space, 'primary', {1}), {{1, 'before'}})
    end)
    report:run('reconnect/new_row', function()
        expect_equal(client:insert(space, {2, 'after'}), {{2, 'after'}})
    end)
    report:run('reconnect/drop', support.drop_space, client, space)
end

-- ---- phases blocked and control -------------------------------------------------------

-- net.box 2.6 drops the fields of the error; the Python suites look at them.
local function expect_busy(client, space, row)
    local refusal = expect_error(BUSY, nil, client.replace, client, space, row)
    if not refusal.message:find('busy') then
        error(('the text %q does not say that the server is busy'):format(refusal.message), 0)
    end
end

-- Runs a step, prints how long it took, fails if that was beyond the bound.
local function timed(report, name, step, ...)
    local arguments = {...}
    return report:run('blocked/' .. name, function()
        local start = fiber.clock()
        step(unpack(arguments))
        -- The time of the loop stands still while nothing yields.
        fiber.yield()
        local elapsed = fiber.clock() - start
        print(('# blocked/%s took %.2f ms'):format(name, elapsed * 1000))
        if elapsed > BLOCKED_STEP_LIMIT_S then
            error(('took %.1f s'):format(elapsed), 0)
        end
    end)
end

function phases.blocked(options, report)
    local client
    local connected = timed(report, 'connect_and_schema', function()
        local login = options.user and {user = options.user, password = options.password}
        client = connect(options, login or {})
        check_schema(client)
    end)
    if not connected then
        return
    end
    timed(report, 'ping', client.ping, client)
    timed(report, 'write_is_refused', expect_busy, client, PERSISTED, persisted_row(1))
    for _, number in ipairs({1, 42, PERSISTED_ROWS}) do
        timed(report, 'read_row_' .. number, function()
            expect_equal(client:select(PERSISTED, 'primary', {number}), {persisted_row(number)})
        end)
    end
    timed(report, 'state', function()
        expect_equal(client:call('vestibule.state', {})[1].state, 'solo')
    end)
    timed(report, 'ping_again', client.ping, client)
    client:close()
end

local function check_state(client, state, reason)
    local values = client:call('vestibule.state', {})
    expect_equal(#values, 1)
    for _, key in ipairs(STATE_KEYS) do
        -- A key may hold null, which is not nil; what is missing is nil.
        if type(values[1][key]) == 'nil' then
            error('the state lacks ' .. key, 0)
        end
    end
    expect_equal(values[1].state, state)
    if reason and not tostring(values[1].reason):find(reason, 1, true) then
        error(('reason %s does not tell %s'):format(tostring(values[1].reason), reason), 0)
    end
end

local function check_show(client, kind)
    local values = client:call('vestibule.show', {kind})
    expect_equal(#values, 1)
    for _, row in ipairs(values[1]) do
        if type(row) ~= 'table' or #row > 0 then
            error('wanted maps', 0)
        end
    end
    if (kind == 'connections' or kind == 'limits') and #values[1] == 0 then
        error('is empty', 0)
    end
end

function phases.control(options, report)
    local space = 'control_' .. SUITE
    local client = connect(options)
    support.drop_space(client, space)
    support.create_space(client, space)
    report:run('control/state', check_state, client, 'assist')
    report:run('control/solo', client.call, client, 'vestibule.solo', {'maintenance'})
    report:run('control/write_is_refused', expect_busy, client, space, {1, 'refused'})
    report:run('control/ping_in_solo', client.ping, client)
    report:run('control/state_in_solo', check_state, client, 'solo', 'maintenance')
    report:run('control/assist', client.call, client, 'vestibule.assist', {})
    report:run('control/state_after', check_state, client, 'assist')
    report:run('control/write_after', function()
        expect_equal(client:replace(space, {1, 'ok'}), {{1, 'ok'}})
    end)
    report:run('control/refused_was_not_executed', function()
        expect_equal(client:select(space, 0, {}), {{1, 'ok'}})
    end)
    for _, kind in ipairs({'connections', 'requests', 'reservations', 'transitions', 'limits'}) do
        report:run('control/show_' .. kind, check_show, client, kind)
    end
    report:run('control/drop', support.drop_space, client, space)
end

-- ---- main -----------------------------------------------------------------------------

local options = support.options(arg, {
    addr = true, phase = true, server = 'vestibule', user = false, password = '',
})
local phase = phases[options.phase] or error('no such phase: ' .. options.phase, 0)
local report = support.report()
support.fail_after(PHASE_LIMIT_S, options.phase)
report:run(options.phase .. '/completed', phase, options, report)
report:finish()
