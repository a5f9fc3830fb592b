#!/usr/bin/env python3
"""Drives a running server with the PyPI connector `asynctnt`.

    python_asynctnt.py --addr HOST:PORT [--server vestibule|tarantool]
        --phase basic|write|verify|reconnect|blocked|control

The shared checks (support.py) are blocking; `Client` runs each request on the event loop and
waits for it.
"""

import asyncio

import asynctnt
from asynctnt.api import Isolation
from asynctnt.exceptions import TarantoolDatabaseError

import support
from support import expect_equal

SUITE = "asynctnt"
REQUEST_TIMEOUT_S = 15
# Between two attempts of the connector to come back, and of this suite to ask whether it did.
RECONNECT_DELAY_S = 0.1
PIPELINED = 1000


class Client(support.Client):
    def __init__(self, loop, connection):
        self.loop = loop
        self.connection = connection

    def wait(self, awaitable):
        return self.loop.run_until_complete(asyncio.wait_for(awaitable, REQUEST_TIMEOUT_S))

    def _data(self, awaitable):
        try:
            body = self.wait(awaitable).body
        except TarantoolDatabaseError as error:
            raise normalised(error) from error
        return [plain(value) for value in body]

    def insert(self, space, row):
        return self._data(self.connection.insert(space, row))

    def replace(self, space, row):
        return self._data(self.connection.replace(space, row))

    def select(self, space, index, key, options):
        return self._data(self.connection.select(space, key, index=index, **options))

    def update(self, space, index, key, ops):
        return self._data(self.connection.update(space, key, ops, index=index))

    def delete(self, space, index, key):
        return self._data(self.connection.delete(space, key, index=index))

    def upsert(self, space, row, ops):
        return self._data(self.connection.upsert(space, row, ops))

    def call(self, name, args):
        return self._data(self.connection.call(name, args))

    def call_16(self, name, args):
        return self._data(self.connection.call16(name, args))

    def ping(self):
        self.wait(self.connection.ping())

    def schema_changed(self):
        # The connector notices the new schema version in any reply and fetches the schema in the
        # background; this waits for it.
        self.wait(self.connection.refetch_schema())

    def close(self):
        self.wait(self.connection.disconnect())


def plain(value):
    """A row as a list: asynctnt's tuple type iterates over the values."""
    return list(value) if isinstance(value, asynctnt.TarantoolTuple) else value


def normalised(error):
    trace = error.error.trace if error.error else []
    return support.ServerError(error.code, error.message, trace[0].fields if trace else None)


def connect(options, loop, user=None, password=None, **settings):
    # With reconnect_timeout 0 a failed connect raises instead of being tried for ever.
    settings.setdefault("reconnect_timeout", 0)
    connection = asynctnt.Connection(
        host=options.host, port=options.port, username=user, password=password, **settings
    )
    client = Client(loop, connection)
    try:
        client.wait(connection.connect())
    except TarantoolDatabaseError as error:
        raise normalised(error) from error
    return client


# ---- phase basic -----------------------------------------------------------------------


def basic(options, report, loop):
    client = connect(options, loop)
    report.run("connect/version", check_version, client, options.server)
    report.run("connect/features", check_features, client, options.server)
    report.run("connect/ping", client.ping)
    report.run("connect/schema", check_schema, client)
    support.run_cases(client, report, SUITE, options.server)
    report.run("call/box_info", support.check_box_info, client)
    report.run("call/call_16", support.check_call_16, client, client.call_16)
    report.run(
        "big_values",
        support.check_in_fresh_space,
        client,
        f"interop_{SUITE}_big",
        support.check_big_values,
    )
    report.run(
        "pipelining",
        support.check_in_fresh_space,
        client,
        f"interop_{SUITE}_pipe",
        check_pipelining,
    )
    report.run(
        "rows_by_name",
        support.check_in_fresh_space,
        client,
        f"interop_{SUITE}_named",
        check_rows_by_name,
    )
    report.run(
        "auth/login",
        support.check_login,
        client,
        options.server,
        SUITE,
        lambda user, password: connect(options, loop, user, password),
    )
    report.run(
        "auth/rights",
        support.check_rights,
        client,
        options.server,
        SUITE,
        lambda user, password: connect(options, loop, user, password),
    )
    transactions(options, report, loop, client)
    report.run("auth/guest_by_name", lambda: connect(options, loop, "guest", "").ping())
    client.close()


def check_version(client, server):
    minimum = (2, 11, 0) if server == "vestibule" else (2, 6, 0)
    assert client.connection.version >= minimum, f"greets as {client.connection.version}"


def check_features(client, server):
    """What the server said to ID, which asynctnt sends from server version 2.10 on."""
    features = client.connection.features
    named = (
        "streams",
        "transactions",
        "error_extension",
        "watchers",
        "pagination",
        "space_and_index_names",
        "watch_once",
    )
    # 2.6 knows no ID, so nothing is advertised.
    wanted = {name: server == "vestibule" for name in named}
    expect_equal({name: getattr(features, name) for name in named}, wanted)
    # A server that advertised these would have to send rows with formats attached.
    for name in ("dml_tuple_extension", "call_ret_tuple_extension", "call_arg_tuple_extension"):
        assert not getattr(features, name), f"{name} is advertised"


def check_schema(client):
    spaces = client.connection.schema.spaces
    expect_equal(spaces["_vspace"].sid, 281)
    expect_equal(spaces["_vindex"].indexes["name"].iid, 2)


def check_pipelining(client, space):
    connection = client.connection

    async def in_flight(requests):
        return await asyncio.gather(*requests)

    rows = [[key, f"row {key}"] for key in range(PIPELINED)]
    written = client.wait(in_flight(connection.insert(space, row) for row in rows))
    expect_equal([plain(reply.body[0]) for reply in written], rows)
    read = client.wait(in_flight(connection.select(space, [key]) for key in range(PIPELINED)))
    expect_equal([plain(reply.body[0]) for reply in read], rows)
    mixed = (
        connection.ping() if key % 2 else connection.update(space, [key], [("=", 1, "new")])
        for key in range(PIPELINED)
    )
    client.wait(in_flight(mixed))
    expect_equal(
        client.select(space, 0, [], {"limit": 3}), [[0, "new"], [1, "row 1"], [2, "new"]]
    )


def check_rows_by_name(client, space):
    """The format reaches the connector, which gives rows their field names."""
    support.drop_space(client, space)
    support.create_space(
        client, space, [{"name": "id", "type": "unsigned"}, {"name": "title", "type": "string"}]
    )
    inserted = client.wait(client.connection.insert(space, {"id": 1, "title": "by name"})).body[0]
    expect_equal((inserted["id"], inserted["title"]), (1, "by name"))


# ---- transactions ------------------------------------------------------------------------


CONFLICT = 97
CONFLICT_TEXT = "Transaction has been aborted by conflict"
ACCOUNTS = 5
MONEY = 100


def transactions(options, report, loop, client):
    checks = (
        ("isolation", check_isolation),
        ("rollback", check_rollback),
        ("conflict", check_conflict),
        ("write_skew", check_write_skew),
        ("phantom", check_phantom),
        ("statement_error", check_statement_error),
        ("calls", check_calls_in_transaction),
        ("ddl", check_ddl_in_transaction),
        ("disconnect", check_disconnect),
        ("bank", check_bank),
    )
    for name, check in checks:
        if options.server == "tarantool":
            # 2.6 knows no streams.
            report.skip(f"transactions/{name}", "needs streams")
            continue
        report.run(
            f"transactions/{name}",
            support.check_in_fresh_space,
            client,
            f"interop_{SUITE}_tx",
            check,
            lambda: connect(options, loop),
        )


def stream(client):
    """A stream of the client's connection, used like a client."""
    return Client(client.loop, client.connection.stream())


def begin(client, *args):
    opened = stream(client)
    opened.wait(opened.connection.begin(*args))
    return opened


def commit(opened):
    try:
        opened.wait(opened.connection.commit())
    except TarantoolDatabaseError as error:
        raise normalised(error) from error


def rollback(opened):
    opened.wait(opened.connection.rollback())


def expect_conflict(act, *args):
    support.expect_error(CONFLICT, CONFLICT_TEXT, act, *args)


def everything(client, space):
    return client.select(space, 0, [], {"iterator": "ALL"})


def check_isolation(client, space, _connect):
    for isolation in Isolation:
        client.replace(space, [1, "old"])
        opened = begin(client, isolation)
        expect_equal(opened.replace(space, [1, "new"]), [[1, "new"]])
        expect_equal(opened.insert(space, [2, "more"]), [[2, "more"]])
        expect_equal(opened.select(space, 0, [1], {}), [[1, "new"]])
        expect_equal(everything(opened, space), [[1, "new"], [2, "more"]])
        expect_equal(everything(client, space), [[1, "old"]])
        commit(opened)
        expect_equal(everything(client, space), [[1, "new"], [2, "more"]])
        client.delete(space, 0, [2])


def check_rollback(client, space, _connect):
    opened = begin(client)
    opened.insert(space, [1, "gone"])
    rollback(opened)
    expect_equal(everything(client, space), [])
    # The stream goes on without a transaction.
    opened.insert(space, [1, "here"])
    expect_equal(everything(client, space), [[1, "here"]])


def check_conflict(client, space, _connect):
    """No update is lost, whoever makes the other one."""
    client.insert(space, [1, 0])
    first, second = begin(client), begin(client)
    for opened in (first, second):
        opened.update(space, 0, [1], [("+", 1, 1)])
    commit(second)
    expect_conflict(first.select, space, 0, [1], {})
    expect_conflict(commit, first)
    third = begin(client)
    third.select(space, 0, [1], {})
    client.update(space, 0, [1], [("+", 1, 1)])
    expect_conflict(third.replace, space, [5, 5])
    rollback(third)
    expect_equal(everything(client, space), [[1, 2]])


def check_write_skew(client, space, connect):
    """Each writes what the other one has read; they are on connections of their own."""
    client.insert(space, [1, 0])
    client.insert(space, [2, 0])
    other = connect()
    first, second = begin(client), begin(other)
    for opened, key in ((first, 1), (second, 2)):
        expect_equal(everything(opened, space), [[1, 0], [2, 0]])
        opened.replace(space, [key, 1])
    commit(first)
    expect_conflict(commit, second)
    other.close()
    expect_equal(everything(client, space), [[1, 1], [2, 0]])


def check_phantom(client, space, _connect):
    client.insert(space, [1, 0])
    near, far = begin(client), begin(client)
    for opened in (near, far):
        opened.select(space, 0, [10], {"iterator": "GE" if opened is near else "LT"})
        opened.insert(space, [2 if opened is near else 3, 0])
    client.insert(space, [20, 0])
    expect_conflict(commit, near)
    commit(far)
    expect_equal(everything(client, space), [[1, 0], [3, 0], [20, 0]])


def check_statement_error(client, space, _connect):
    client.insert(space, [1, "old"])
    opened = begin(client)
    opened.insert(space, [2, "new"])
    support.expect_error(3, None, opened.insert, space, [1, "again"])
    commit(opened)
    expect_equal(everything(client, space), [[1, "old"], [2, "new"]])


def check_calls_in_transaction(client, space, _connect):
    opened = begin(client)
    expect_equal(opened.call(f"box.space.{space}:insert", [[1, "called"]]), [[1, "called"]])
    expect_equal(opened.call(f"box.space.{space}:len", []), [1])
    expect_equal(client.call(f"box.space.{space}:len", []), [0])
    commit(opened)
    expect_equal(everything(client, space), [[1, "called"]])


def check_ddl_in_transaction(client, space, _connect):
    opened = begin(client)
    opened.insert(space, [1, 0])
    support.expect_error(
        5,
        "vestibule does not support changes of definitions in a transaction",
        opened.call,
        f"box.space.{space}:truncate",
        [],
    )
    client.call(f"box.space.{space}:truncate", [])
    expect_conflict(commit, opened)
    expect_equal(everything(client, space), [])


def check_disconnect(client, space, connect):
    other = connect()
    opened = begin(other)
    opened.insert(space, [1, "gone"])
    other.close()
    # Nothing of it stands in the way of others either.
    expect_equal(client.insert(space, [1, "here"]), [[1, "here"]])
    expect_equal(everything(client, space), [[1, "here"]])


def check_bank(client, space, connect):
    """Many streams of several connections move money; none is made or lost."""
    for account in range(ACCOUNTS):
        client.insert(space, [account, MONEY])
    clients = [connect() for _ in range(4)]
    outcomes = {"moved": 0, "conflict": 0}

    async def transfer(connection, number):
        source, target = number % ACCOUNTS, (number + 1 + number // 7 % 4) % ACCOUNTS
        moving = connection.stream()
        try:
            await moving.begin()
            balances = [(await moving.select(space, [key])).body[0][1] for key in (source, target)]
            await moving.replace(space, [source, balances[0] - 1])
            await moving.replace(space, [target, balances[1] + 1])
            await moving.commit()
            outcomes["moved"] += 1
        except TarantoolDatabaseError as error:
            expect_equal((error.code, error.message), (CONFLICT, CONFLICT_TEXT))
            await moving.rollback()
            outcomes["conflict"] += 1

    async def all_of_them():
        connections = [each.connection for each in clients]
        for start in range(0, 400, 20):
            numbers = range(start, start + 20)
            await asyncio.gather(*(transfer(connections[n % 4], n) for n in numbers))

    client.wait(all_of_them())
    for each in clients:
        each.close()
    assert outcomes["moved"] > 0 and outcomes["conflict"] > 0, outcomes
    balances = [row[1] for row in everything(client, space)]
    expect_equal(sum(balances), ACCOUNTS * MONEY)


# ---- the other phases ------------------------------------------------------------------


def write(options, report, loop):
    support.write_phase(connect(options, loop), report, SUITE)


def verify(options, report, loop):
    support.verify_phase(connect(options, loop), report, SUITE)


def reconnect(options, report, loop):
    client = connect(options, loop, reconnect_timeout=RECONNECT_DELAY_S)
    support.reconnect_phase(
        client,
        report,
        SUITE,
        lambda client: loop.run_until_complete(connected_again(client.connection)),
    )
    client.close()


async def connected_again(connection):
    """The connector reconnects in the background; until then every request fails at once."""
    deadline = asyncio.get_running_loop().time() + support.RECONNECT_LIMIT_S
    while True:
        try:
            return await connection.ping(timeout=REQUEST_TIMEOUT_S)
        except (asynctnt.exceptions.TarantoolError, OSError):
            assert (
                asyncio.get_running_loop().time() < deadline
            ), f"not connected after {support.RECONNECT_LIMIT_S} s"
            await asyncio.sleep(RECONNECT_DELAY_S)


def blocked(options, report, loop):
    support.blocked_phase(
        report, SUITE, lambda: connect(options, loop, options.user, options.password)
    )


def control(options, report, loop):
    support.control_phase(connect(options, loop), report, SUITE)


def on_a_loop(phase):
    def run(options, report):
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        phase(options, report, loop)

    return run


if __name__ == "__main__":
    PHASES = {
        "basic": basic,
        "write": write,
        "verify": verify,
        "reconnect": reconnect,
        "blocked": blocked,
        "control": control,
    }
    support.main({name: on_a_loop(phase) for name, phase in PHASES.items()})
