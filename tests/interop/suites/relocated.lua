-- Runs in a Tarantool that a connector's own suite starts, before the suite's program: what that asks
-- to listen at is told to who started it (behind_gateway.py), and listened at is what that wants.

local fio = require('fio')

local wanted = os.getenv('SUITE_LISTEN')
local told = os.getenv('SUITE_ASKED')
local configure = box.cfg

-- The account of a gateway, as docs/gateway.md has it.
local function make_account()
    box.schema.user.create('gateway', {password = 'gateway', if_not_exists = true})
    box.schema.user.grant('gateway', 'read', 'space', '_user', {if_not_exists = true})
end

local function tell(asked)
    local file = fio.open(told .. '.new', {'O_CREAT', 'O_WRONLY', 'O_TRUNC'}, tonumber('644', 8))
    file:write(tostring(asked))
    file:close()
    fio.rename(told .. '.new', told)
end

box.cfg = function(options)
    local asked = options.listen
    tell(asked)
    options.listen = wanted or asked
    configure(options)
    -- Some of the tests tell servers from each other by it.
    rawset(box.cfg, 'listen', tostring(asked))
    if box.info.ro then
        return
    end
    if os.getenv('SUITE_GATEWAY') ~= nil then
        make_account()
    end
    -- As in the containers of Tarantool, where nothing else is said.
    if os.getenv('SUITE_SUPER_GUEST') ~= nil then
        box.schema.user.grant('guest', 'super', nil, nil, {if_not_exists = true})
    end
end
