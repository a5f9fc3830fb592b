#!/usr/bin/env python3
"""Drives a running server with the PyPI connector `tarantool`.

    python_tarantool.py --addr HOST:PORT [--server vestibule|tarantool]
        --phase basic|write|verify|reconnect|blocked|control|pool

The connector keeps one request in flight. Pipelining and raw frames are therefore checked by hand
(wire.py).
"""

import threading
import time

import tarantool
from tarantool.error import DatabaseError, NetworkError

import support
import wire
from support import expect_equal

SUITE = "python"
ITERATORS = {"EQ": 0, "REQ": 1, "ALL": 2, "LT": 3, "LE": 4, "GE": 5, "GT": 6}
SOCKET_TIMEOUT_S = 15
# A large number of a client's choosing; the server must hand back every one of its 64 bits.
LARGEST_SYNC = (1 << 64) - 1


def normalised(error):
    """The reply behind an exception of the connector, which wraps that of a failed login."""
    if (
        isinstance(error, NetworkError)
        and error.args
        and isinstance(error.args[0], DatabaseError)
    ):
        error = error.args[0]
    if isinstance(error, DatabaseError) and error.code:
        return support.ServerError(
            error.code, error.message, error.extra_info and error.extra_info.fields
        )
    return error


class Client(support.Client):
    def __init__(self, host, port, user=None, password=None, **settings):
        try:
            self.connection = tarantool.Connection(
                host,
                port,
                user=user,
                password=password,
                socket_timeout=SOCKET_TIMEOUT_S,
                **settings,
            )
        except (DatabaseError, NetworkError) as error:
            raise normalised(error) from error

    def _data(self, method, *args, **kwargs):
        try:
            return list(method(*args, **kwargs).data)
        except DatabaseError as error:
            raise normalised(error) from error

    def insert(self, space, row):
        return self._data(self.connection.insert, space, row)

    def replace(self, space, row):
        return self._data(self.connection.replace, space, row)

    def select(self, space, index, key, options):
        arguments = {name: value for name, value in options.items() if name != "iterator"}
        iterator = options.get("iterator")
        if iterator is not None:
            arguments["iterator"] = ITERATORS.get(iterator, iterator)
        return self._data(self.connection.select, space, key, index=index, **arguments)

    def update(self, space, index, key, ops):
        return self._data(self.connection.update, space, key, ops, index=index)

    def delete(self, space, index, key):
        return self._data(self.connection.delete, space, key, index=index)

    def upsert(self, space, row, ops):
        return self._data(self.connection.upsert, space, row, ops)

    def call(self, name, args):
        return self._data(self.connection.call, name, *args)

    def ping(self):
        assert self.connection.ping() >= 0

    def schema_changed(self):
        # The connector never asks whether its names are still right: a space made again under an
        # old name would be looked for under its old id.
        self.connection.flush_schema()

    def close(self):
        self.connection.close()


def connect(options, user=None, password=None, **settings):
    return Client(options.host, options.port, user, password, **settings)


# ---- phase basic -----------------------------------------------------------------------


def basic(options, report):
    client = connect(options)
    report.run("connect/version", check_version, client, options.server)
    report.run("connect/ping", client.ping)
    report.run("connect/schema", check_schema, client)
    support.run_cases(client, report, SUITE, options.server)
    report.run("call/box_info", support.check_box_info, client)
    report.run("call/call_16", support.check_call_16, client, connect(options, call_16=True).call)
    report.run(
        "big_values",
        support.check_in_fresh_space,
        client,
        f"interop_{SUITE}_big",
        support.check_big_values,
    )
    report.run(
        "auth/login",
        support.check_login,
        client,
        options.server,
        SUITE,
        lambda user, password: connect(options, user, password),
    )
    report.run(
        "auth/rights",
        support.check_rights,
        client,
        options.server,
        SUITE,
        lambda user, password: connect(options, user, password),
    )
    report.run("auth/guest_by_name", lambda: connect(options, "guest", "").ping())
    raw_checks(options, report, client)
    client.close()


def check_version(client, server):
    minimum = (2, 11, 0) if server == "vestibule" else (2, 6, 0)
    found = client.connection.version_id
    wanted = minimum[0] << 16 | minimum[1] << 8 | minimum[2]
    assert found >= wanted, f"greets as {found >> 16}.{found >> 8 & 255}.{found & 255}"


def check_schema(client):
    client.connection.load_schema()
    expect_equal(client.connection.schema.get_space("_vspace").sid, 281)
    expect_equal(client.connection.schema.get_index("_vindex", "name").iid, 2)


# ---- raw frames ------------------------------------------------------------------------


def raw_checks(options, report, client):
    def alone(check):
        report.run(raw_name(check), with_peer, options, check)

    def with_space(check, *args):
        def run(client, space):
            number = client.connection.schema.get_space(space).sid
            with_peer(options, check, number, *args)

        space = f"interop_{SUITE}_raw"
        report.run(raw_name(check), support.check_in_fresh_space, client, space, run)

    alone(raw_greeting)
    alone(raw_reply_shape)
    alone(raw_sync)
    alone(raw_length_widths)
    alone(raw_fragments)
    alone(raw_bad_header)
    alone(raw_bad_body)
    alone(raw_bad_length)
    alone(raw_unknown_type)
    with_space(raw_pipelined_mix)
    with_space(raw_pipelined_thousand)
    with_space(raw_missing_field, options.server)
    with_space(raw_error_shape)
    with_space(raw_schema_version)
    if options.server == "tarantool":
        alone(raw_id_unknown)
        report.skip(raw_name(raw_id), "2.6 does not know ID")
        report.skip(raw_name(raw_index_name), "2.6 does not know names in requests")
    else:
        alone(raw_id)
        with_space(raw_index_name, f"interop_{SUITE}_raw")


def raw_name(check):
    return check.__name__.replace("_", "/", 1)


def with_peer(options, check, *args):
    with wire.Peer(options.host, options.port, SOCKET_TIMEOUT_S) as peer:
        check(peer, *args)


def raw_greeting(peer):
    line1, line2 = peer.greeting[:64], peer.greeting[64:]
    assert line1.startswith(b"Tarantool ") and b" (Binary) " in line1, f"first line {line1!r}"
    assert line1.endswith(b"\n") and line2.endswith(
        b"\n"
    ), f"lines do not end at 63 and 127: {peer.greeting!r}"
    expect_equal(len(line2.rstrip()), 44)


def raw_reply_shape(peer):
    reply = peer.ask(wire.PING, 7)
    expect_equal(reply.code, 0)
    assert wire.SCHEMA_VERSION in reply.header, f"no schema version in {reply.header!r}"
    expect_equal(reply.body, {})


def raw_sync(peer):
    for sync in (0, 1, LARGEST_SYNC):
        expect_equal(peer.ask(wire.PING, sync).sync, sync)
    # The same sync twice, both in flight: legal, and what this connector does all the time.
    peer.send(wire.frame(wire.PING, 5) * 2)
    expect_equal([peer.receive().sync, peer.receive().sync], [5, 5])


def raw_length_widths(peer):
    content = wire.payload(wire.PING, 3)
    size = len(content)
    for prefix in (
        bytes([size]),
        b"\xcc" + bytes([size]),
        b"\xcd" + size.to_bytes(2, "big"),
        b"\xce" + size.to_bytes(4, "big"),
        b"\xcf" + size.to_bytes(8, "big"),
    ):
        peer.send(prefix + content)
        expect_equal(peer.receive().error, None)


def raw_fragments(peer):
    data = b"".join(wire.frame(wire.PING, sync) for sync in range(20))
    for start in range(0, len(data), 3):
        peer.send(data[start : start + 3])
    expect_equal(sorted(peer.receive().sync for _ in range(20)), list(range(20)))


def raw_bad_header(peer):
    peer.send(b"\x01\xc0")
    reply = peer.receive()
    expect_equal((reply.error, reply.sync), ((20, "Invalid MsgPack - packet header"), 0))
    expect_equal(peer.ask(wire.PING, 1).error, None)


def raw_bad_body(peer):
    content = wire.payload(wire.SELECT, 11) + b"\xc0"
    peer.send(bytes([len(content)]) + content)
    reply = peer.receive()
    expect_equal((reply.error, reply.sync), ((20, "Invalid MsgPack - packet body"), 11))
    expect_equal(peer.ask(wire.PING, 1).error, None)


def raw_bad_length(peer):
    peer.send(b"\xa3foo")
    reply = peer.receive()
    expect_equal((reply.error, reply.sync), ((20, "Invalid MsgPack - packet length"), 0))
    assert peer.at_end(), "the connection stays open"


def raw_unknown_type(peer):
    expect_equal(peer.ask(99, 4).error, (48, "Unknown request type 99"))
    expect_equal(peer.ask(wire.PING, 5).error, None)


def raw_pipelined_mix(peer, space):
    """Different requests in one send. Replies may come in any order, effects may not."""
    requests = [
        (wire.PING, None),
        (wire.INSERT, {wire.SPACE_ID: space, wire.TUPLE: [1, "one"]}),
        (wire.SELECT, {wire.SPACE_ID: space, wire.LIMIT: 10, wire.KEY: [1]}),
        (wire.INSERT, {wire.SPACE_ID: space, wire.TUPLE: [1, "again"]}),
        (wire.REPLACE, {wire.SPACE_ID: space, wire.TUPLE: [1, "two"]}),
        (wire.SELECT, {wire.SPACE_ID: space, wire.LIMIT: 10, wire.KEY: [1]}),
        (wire.PING, None),
    ]
    peer.send(
        b"".join(wire.frame(type_, sync, body) for sync, (type_, body) in enumerate(requests))
    )
    replies = {reply.sync: reply for reply in (peer.receive() for _ in requests)}
    expect_equal(sorted(replies), list(range(len(requests))))
    expect_equal(replies[3].error[0], 3)
    data = {sync: reply.body.get(wire.DATA) for sync, reply in replies.items() if sync != 3}
    expect_equal(
        data,
        {0: None, 1: [[1, "one"]], 2: [[1, "one"]], 4: [[1, "two"]], 5: [[1, "two"]], 6: None},
    )


def raw_pipelined_thousand(peer, space):
    count = 1000
    peer.send(
        b"".join(
            wire.frame(wire.REPLACE, key, {wire.SPACE_ID: space, wire.TUPLE: [key, f"row {key}"]})
            for key in range(count)
        )
    )
    for _ in range(count):
        reply = peer.receive()
        expect_equal(
            (reply.error, reply.body.get(wire.DATA)), (None, [[reply.sync, f"row {reply.sync}"]])
        )
    everything = {
        wire.SPACE_ID: space,
        wire.INDEX_ID: 0,
        wire.LIMIT: 0xFFFFFFFF,
        wire.OFFSET: 0,
        wire.ITERATOR: 2,
        wire.KEY: [],
    }
    expect_equal(len(peer.ask(wire.SELECT, 1, everything).body[wire.DATA]), count)


def raw_missing_field(peer, space, server):
    def missing(name):
        # 2.6 writes the names of the keys in lower case.
        spelled = name.lower() if server == "tarantool" else name
        return (69, f"Missing mandatory field '{spelled}' in request")

    expect_equal(
        peer.ask(wire.SELECT, 1, {wire.SPACE_ID: space, wire.LIMIT: 1}).error, missing("KEY")
    )
    expect_equal(peer.ask(wire.INSERT, 2, {wire.SPACE_ID: space}).error, missing("TUPLE"))
    expect_equal(
        peer.ask(wire.SELECT, 3, {wire.SPACE_ID: space, wire.KEY: []}).error, missing("LIMIT")
    )


def raw_error_shape(peer, space):
    """Both forms of the error: the text of old, and the stack with its fields."""
    reply = peer.ask(wire.SELECT, 1, {wire.SPACE_ID: space, wire.LIMIT: 1, wire.KEY: ["x"]})
    text = "Supplied key type of part 0 does not match index part type: expected unsigned"
    expect_equal(reply.error, (18, text))
    top = reply.body[wire.ERROR_STACK][0][0]
    expect_equal((top[0], top[3], top[5]), ("ClientError", text, 18))
    assert (
        isinstance(top[1], str) and isinstance(top[2], int) and isinstance(top[4], int)
    ), f"file, line or errno missing in {top!r}"


def raw_schema_version(peer, space):
    current = peer.ask(wire.PING, 1).header[wire.SCHEMA_VERSION]
    body = {wire.SPACE_ID: space, wire.LIMIT: 1, wire.KEY: [1]}
    expect_equal(peer.ask(wire.SELECT, 2, body, schema_version=current).error, None)
    # 0 means: do not compare.
    expect_equal(peer.ask(wire.SELECT, 3, body, schema_version=0).error, None)
    expect_equal(peer.ask(wire.SELECT, 4, body, schema_version=current + 1000).error[0], 109)


def raw_id(peer):
    reply = peer.ask(wire.ID, 9, {wire.VERSION: 6, wire.FEATURES: [0, 1, 2, 3, 4, 5, 6, 200]})
    expect_equal(reply.code, 0)
    assert reply.body[wire.VERSION] >= 6, f"protocol version {reply.body[wire.VERSION]}"
    missing = set(range(7)) - set(reply.body[wire.FEATURES])
    assert not missing, f"features {sorted(missing)} are not advertised"
    expect_equal(reply.body[wire.AUTH_TYPE], "chap-sha1")
    expect_equal(peer.ask(wire.ID, 10, {}).code, 0)
    expect_equal(
        peer.ask(wire.ID, 11, {wire.VERSION: "six"}).error, (20, "Invalid MsgPack - request body")
    )


def raw_id_unknown(peer):
    expect_equal(
        peer.ask(wire.ID, 9, {wire.VERSION: 6, wire.FEATURES: []}).error,
        (48, "Unknown request type 73"),
    )


def raw_index_name(peer, space, space_name):
    body = {wire.SPACE_ID: space, wire.INDEX_NAME: "nope", wire.LIMIT: 1, wire.KEY: [1]}
    expect_equal(
        peer.ask(wire.SELECT, 1, body).error,
        (148, f"No index 'nope' is defined in space '{space_name}'"),
    )
    body[wire.INDEX_NAME] = "primary"
    expect_equal(peer.ask(wire.SELECT, 2, body).body, {wire.DATA: []})


# ---- the other phases ------------------------------------------------------------------


def write(options, report):
    support.write_phase(connect(options), report, SUITE)


def verify(options, report):
    support.verify_phase(connect(options), report, SUITE)


def reconnect(options, report):
    # The connector's default gives up after a second.
    client = connect(
        options, reconnect_max_attempts=int(support.RECONNECT_LIMIT_S / 0.1), reconnect_delay=0.1
    )
    support.reconnect_phase(client, report, SUITE, lambda client: client.ping())


def blocked(options, report):
    support.blocked_phase(report, SUITE, lambda: connect(options, options.user, options.password))


def control(options, report):
    support.control_phase(connect(options), report, SUITE)


def pool_replaces(own, row, refusals):
    """Whether it does; if not, why is one of the refusals."""
    try:
        return list(own.replace("rows", row).data) == [row]
    except DatabaseError as error:
        refusals.add(error.args[0])
        time.sleep(0.01)
        return False


def pool(options, report):
    """The connector's pool, which finds out how its instances are by itself, over a while in which
    changes are refused: it has none for them then, and has it again afterwards."""
    address = {"host": options.host, "port": options.port}
    own = tarantool.ConnectionPool([address], refresh_delay=0.1)
    expect_equal(list(own.replace("rows", [1, 1]).data), [[1, 1]])
    blocker = tarantool.Connection(options.host, options.port)
    blocked = threading.Thread(target=blocker.call, args=("vestibule.debug.block", 2, "the pool"))
    blocked.start()
    # Else the first change may be in the queue of Tx already, and is then not refused but waits.
    observer = tarantool.Connection(options.host, options.port)
    while observer.call("vestibule.state").data[0]["state"] != "solo":
        time.sleep(0.01)
    refusals = set()
    while blocked.is_alive():
        pool_replaces(own, [2, 2], refusals)
    blocked.join()
    # What the server says, until the pool has looked; from then on it asks nobody.
    known = {116, "Can't find healthy rw instance in pool"}
    report.run(f"{SUITE}/pool_is_refused", expect_equal, refusals - known, set())
    report.run(f"{SUITE}/pool_has_been_refused", expect_equal, bool(refusals), True)
    while not pool_replaces(own, [3, 3], refusals):
        pass  # as long as the whole phase may take
    expect_equal(list(own.select("rows", 3, mode=tarantool.Mode.ANY).data), [[3, 3]])
    own.close()


if __name__ == "__main__":
    support.main(
        {
            "pool": pool,
            "basic": basic,
            "write": write,
            "verify": verify,
            "reconnect": reconnect,
            "blocked": blocked,
            "control": control,
        }
    )
