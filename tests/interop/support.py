"""What the two Python suites share: command line, report, the cases of cases.json, the phases.

A suite brings a client class with blocking methods (see `Client`); everything it asks of a server
is here, so that both connectors are asked exactly the same.
"""

import argparse
import faulthandler
import json
import os
import sys
import threading
import time
import traceback

PERSISTED_ROWS = 100
PERSISTED_FORMAT = [
    {"name": "id", "type": "unsigned"},
    {"name": "name", "type": "string"},
    {"name": "number", "type": "integer"},
    {"name": "list", "type": "array"},
]
PRIMARY_BY_ID = ["primary", {"parts": [{"field": 1, "type": "unsigned"}], "if_not_exists": True}]

NO_SUCH_PROCEDURE = 33
BUSY = 116
BUSY_FIELDS = {"state", "reason", "progress", "retry_after", "epoch"}
STATE_KEYS = {
    "state",
    "role",
    "epoch",
    "reason",
    "progress",
    "since",
    "queued",
    "in_flight",
    "connections",
}

# A blocked server must answer at once; this bound is for a loaded test machine, not a statement
# about the server.
BLOCKED_STEP_LIMIT_S = 5.0
RECONNECT_LIMIT_S = 30.0


class ServerError(Exception):
    """An error reply, the same for every connector."""

    def __init__(self, code, message, fields=None):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.fields = fields


class Client:
    """Each suite implements this. Results are plain lists, error replies raise ServerError."""

    def insert(self, space, row): ...
    def replace(self, space, row): ...
    def select(self, space, index, key, options): ...
    def update(self, space, index, key, ops): ...
    def delete(self, space, index, key): ...
    def upsert(self, space, row, ops): ...
    def call(self, name, args): ...
    def ping(self): ...
    def schema_changed(self): ...
    def close(self): ...


class Report:
    """One line per check on stdout, and the exit code."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def run(self, name, check, *args):
        """Runs one check: it fails by raising. Returns whether it passed."""
        try:
            check(*args)
        except AssertionError as problem:
            return self._fail(name, str(problem) or "assertion failed")
        except Exception as problem:  # One bad check must not hide the others.
            last = traceback.extract_tb(problem.__traceback__)[-1]
            where = f"{os.path.basename(last.filename)}:{last.lineno}"
            return self._fail(name, f"{type(problem).__name__}: {problem} ({where})")
        self.passed += 1
        print(f"ok {name}", flush=True)
        return True

    def _fail(self, name, details):
        self.failed += 1
        print(f"not ok {name}: {details}".replace("\n", " "), flush=True)
        return False

    def skip(self, name, reason):
        print(f"skip {name}: {reason}", flush=True)

    def finish(self):
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        # Nothing checked is not a success either.
        return 0 if self.failed == 0 and self.passed > 0 else 1


def options(phases):
    parser = argparse.ArgumentParser()
    parser.add_argument("--addr", required=True, help="HOST:PORT of a running server")
    parser.add_argument("--phase", required=True, choices=sorted(phases))
    parser.add_argument("--server", choices=["vestibule", "tarantool"], default="vestibule")
    parser.add_argument("--user", help="log in as this user (phase blocked); default: guest")
    parser.add_argument("--password", default="")
    parser.add_argument(
        "--timeout", type=int, default=120, help="seconds after which the whole phase has failed"
    )
    parsed = parser.parse_args()
    parsed.host, port = parsed.addr.rsplit(":", 1)
    parsed.port = int(port)
    _fail_when_it_hangs(parsed)
    return parsed


def _fail_when_it_hangs(parsed):
    def give_up():
        print(
            f"not ok {parsed.phase}/in_time: still running after {parsed.timeout} s", flush=True
        )
        faulthandler.dump_traceback()
        os._exit(1)

    timer = threading.Timer(parsed.timeout, give_up)
    timer.daemon = True
    timer.start()


def main(phases):
    """Runs the phase asked for; `phases` maps names to functions of (options, report)."""
    parsed = options(phases)
    report = Report()
    report.run(f"{parsed.phase}/completed", phases[parsed.phase], parsed, report)
    sys.exit(report.finish())


def expect_equal(got, wanted):
    assert got == wanted, f"got {got!r}, wanted {wanted!r}"


def expect_error(code, message, action, *args):
    """`message` None: any text."""
    try:
        result = action(*args)
    except ServerError as error:
        expect_equal(error.code, code)
        if message is not None:
            expect_equal(error.message, message)
        return error
    raise AssertionError(f"got {result!r}, wanted error {code}")


# ---- spaces ----------------------------------------------------------------------------


def drop_space(client, name):
    try:
        client.call(f"box.space.{name}:drop", [])
    except ServerError as error:
        # The space is not there: nothing left over from an earlier run.
        if error.code != NO_SUCH_PROCEDURE:
            raise
    client.schema_changed()


def create_space(client, name, format_=None, indexes=(PRIMARY_BY_ID,)):
    space_options = {"if_not_exists": True}
    if format_ is not None:
        space_options["format"] = format_
    client.call("box.schema.space.create", [name, space_options])
    for index in indexes:
        client.call(f"box.space.{name}:create_index", list(index))
    client.schema_changed()


# ---- cases.json ------------------------------------------------------------------------


def load_cases(suite):
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cases.json")
    with open(path, encoding="utf-8") as file:
        return json.load(file, object_hook=lambda value: _special(value, suite))


def _special(value, suite):
    """Called for every object of the file, innermost first."""
    if set(value) == {"$big"}:
        return int(value["$big"])
    return {key: _named(item, suite) for key, item in value.items()}


def _named(value, suite):
    if isinstance(value, str):
        return value.replace("@", f"interop_{suite}_")
    if isinstance(value, list):
        return [_named(item, suite) for item in value]
    return value


def run_cases(client, report, suite, server):
    document = load_cases(suite)
    for group in document["groups"]:
        names = {short: f"interop_{suite}_{short}" for short in group["spaces"]}
        if not report.run(
            f"{group['name']}/setup", _set_up_group, client, document, group, names
        ):
            continue
        for case in group["cases"]:
            name = f"{group['name']}/{case['name']}"
            if suite in case.get("not_for", {}):
                report.skip(name, case["not_for"][suite])
            else:
                report.run(name, _run_case, client, case, server)
        report.run(f"{group['name']}/teardown", _tear_down_group, client, names)


def _set_up_group(client, document, group, names):
    for short, name in names.items():
        space = document["spaces"][short]
        drop_space(client, name)
        create_space(client, name, space.get("format"), space["indexes"])
    for short, rows in group.get("rows", {}).items():
        for row in rows:
            client.replace(names[short], row)


def _tear_down_group(client, names):
    for name in names.values():
        drop_space(client, name)


def _run_case(client, case, server):
    action, *args = case["do"]
    ok, error = case.get("ok"), case.get("error")
    if server == "tarantool" and ("ok26" in case or "error26" in case):
        ok, error = case.get("ok26"), case.get("error26")
    method = getattr(client, action)
    if error is not None:
        expect_error(error[0], error[1], method, *args)
    else:
        result = method(*args)
        if ok is not None:
            expect_equal(result, ok)


# ---- checks of phase basic that are not in cases.json ----------------------------------


def check_box_info(client):
    info = client.call("box.info", [])[0]
    expect_equal(info["ro"], False)
    expect_equal(info["status"], "running")


def check_call_16(client, call_16):
    """CALL_16 wraps every returned value into a tuple, CALL returns it as it is."""
    info = call_16("box.info", [])[0][0]
    expect_equal(info["status"], "running")
    expect_error(NO_SUCH_PROCEDURE, "Procedure 'no.such' is not defined", call_16, "no.such", [])
    expect_equal(client.call("box.info", [])[0]["status"], "running")


def check_big_values(client, space):
    big = "x" * (1 << 20)
    expect_equal(client.replace(space, [1, big]), [[1, big]])
    expect_equal(client.select(space, 0, [1], {}), [[1, big]])
    # Ten of them in one reply: far beyond any socket buffer.
    for key in range(2, 11):
        client.replace(space, [key, big])
    rows = client.select(space, 0, [], {"iterator": "ALL"})
    expect_equal(
        [(row[0], len(row[1])) for row in rows], [(key, len(big)) for key in range(1, 11)]
    )
    client.ping()


def check_in_fresh_space(client, space, check, *args):
    drop_space(client, space)
    create_space(client, space)
    try:
        check(client, space, *args)
    finally:
        drop_space(client, space)


def bad_credentials(server, user, known):
    """The answer to a failed login. 2.6 tells which users exist, today's Tarantool does not."""
    if server == "tarantool":
        return (
            (47, f"Incorrect password supplied for user '{user}'")
            if known
            else (45, f"User '{user}' is not found")
        )
    return (47, "User not found or supplied credentials are invalid")


def check_login(client, server, suite, connect):
    """`connect(user, password)` returns a client, or raises ServerError."""
    user, password = f"interop_{suite}_user", "s3cret-пароль"
    _drop_user(client, user)
    client.call("box.schema.user.create", [user, {"password": password}])
    try:
        logged_in = connect(user, password)
        logged_in.ping()
        logged_in.close()
        expect_error(*bad_credentials(server, user, True), connect, user, "wrong")
        stranger = f"interop_{suite}_stranger"
        expect_error(*bad_credentials(server, stranger, False), connect, stranger, "any")
    finally:
        client.call("box.schema.user.drop", [user])
    expect_error(*bad_credentials(server, user, False), connect, user, password)


def check_rights(client, server, suite, connect):
    """A user gets rights one by one, and loses them while connected."""
    user, space, secret = (f"interop_{suite}_{name}" for name in ("reader", "shown", "hidden"))
    _drop_user(client, user)
    for name in (space, secret):
        drop_space(client, name)
        create_space(client, name)
        client.insert(name, [1, "one"])
    client.call("box.schema.user.create", [user, {"password": "x"}])
    try:
        reader = connect(user, "x")
        try:
            _check_rights(client, reader, server, user, space, secret)
        finally:
            reader.close()
    finally:
        _drop_user(client, user)
        for name in (space, secret):
            drop_space(client, name)


def _check_rights(client, reader, server, user, space, secret):
    def denied(right, what):
        return (42, f"{right} access to {what} is denied for user '{user}'")

    def grant(*args):
        client.call("box.schema.user.grant", [user, *args])
        reader.schema_changed()

    # The schema that a connector fetches when it connects.
    names = [row[2] for row in reader.select(281, 0, [], {"iterator": "ALL"})]
    assert "_vspace" in names and not {space, secret, "_space"} & set(names), names
    users = [row[2] for row in reader.select(305, 0, [], {"iterator": "ALL"})]
    expect_equal(users, ["public", user])
    call = ["box.space.nosuch:select", []]
    expect_error(*denied("Execute", f"function '{call[0]}'"), reader.call, *call)
    expect_error(*denied("Execute", "function 'nosuch'"), reader.call, "nosuch", [])
    expect_error(*denied("Read", "space '_user'"), reader.select, 304, 0, [], {})

    grant("read", "space", space)
    expect_equal(reader.select(space, 0, [1], {}), [[1, "one"]])
    write = denied("Write", f"space '{space}'")
    error = expect_error(*write, reader.insert, space, [2])
    if error.fields is not None:
        expect_equal(error.fields["object_name"], space)
    expect_error(*write, reader.update, space, 0, [1], [["=", 1, "x"]])
    expect_error(*write, reader.delete, space, 0, [1])
    names = [row[2] for row in reader.select(281, 0, [], {"iterator": "ALL"})]
    assert space in names and secret not in names, names

    # What is there and what is not look alike here; Tarantool tells them apart.
    shown, number = (
        client.select(281, 2, [name], {"iterator": "EQ"})[0][0] for name in (space, secret)
    )
    for hidden in (number, 1 << 20):
        told = denied("Read", f"space '{hidden}'")
        if server == "tarantool":
            is_there = hidden == number
            missing = (36, f"Space '{hidden}' does not exist")
            told = denied("Read", f"space '{secret}'") if is_there else missing
        expect_error(*told, reader.select, hidden, 0, [1], {})

    grant("write", "space", space)
    expect_equal(reader.replace(space, [2, "two"]), [[2, "two"]])
    function = f"box.space.{space}:len"
    expect_error(*denied("Execute", f"function '{function}'"), reader.call, function, [])
    client.call("box.schema.func.create", [function, {"if_not_exists": True}])
    grant("execute", "function", function)
    expect_equal(reader.call(function, []), [2])
    client.call("box.schema.func.drop", [function])

    client.call("box.schema.user.revoke", [user, "write", "space", space])
    expect_error(*write, reader.replace, space, [3])
    client.call("box.schema.user.revoke", [user, "read", "space", space])
    # By number: a connector that follows the schema does not find the name any more.
    expect_error(42, None, reader.select, shown, 0, [1], {})
    client.call("box.schema.user.drop", [user])
    # 2.6 knows the number of who is gone, but not the name.
    gone = None if server == "tarantool" else f"User '{user}' is not found"
    expect_error(45, gone, reader.select, shown, 0, [1], {})


def _drop_user(client, user):
    no_such_user = 45
    try:
        client.call("box.schema.user.drop", [user])
    except ServerError as error:
        if error.code != no_such_user:
            raise


# ---- phases write, verify, reconnect ---------------------------------------------------


def persisted_row(number):
    return [number, f"row {number} ä", number * number - 50, [number, [number + 1]]]


def write_phase(client, report, suite):
    space = f"persist_{suite}"
    report.run("write/create", _create_persisted, client, space)
    report.run("write/rows", _write_rows, client, space)
    report.run("write/read_back", _check_rows, client, space)


def _create_persisted(client, space):
    drop_space(client, space)
    create_space(client, space, PERSISTED_FORMAT)


def _write_rows(client, space):
    for number in range(1, PERSISTED_ROWS + 1):
        expect_equal(client.insert(space, persisted_row(number)), [persisted_row(number)])


def _check_rows(client, space):
    rows = client.select(space, "primary", [], {"iterator": "ALL"})
    expect_equal(len(rows), PERSISTED_ROWS)
    for number, row in enumerate(rows, start=1):
        expect_equal(row, persisted_row(number))


def verify_phase(client, report, suite):
    space = f"persist_{suite}"
    report.run(
        "verify/catalogue",
        lambda: expect_equal(client.call(f"box.space.{space}:format", []), [PERSISTED_FORMAT]),
    )
    report.run("verify/rows", _check_rows, client, space)
    report.run(
        "verify/still_unique", expect_error, 3, None, client.insert, space, persisted_row(1)
    )
    report.run(
        "verify/still_writes",
        lambda: expect_equal(client.replace(space, persisted_row(7)), [persisted_row(7)]),
    )


def reconnect_phase(client, report, suite, settle):
    """`settle(client)` returns once the connector, by its own means, answers again."""
    space = f"reconnect_{suite}"

    def before():
        drop_space(client, space)
        create_space(client, space)
        expect_equal(client.insert(space, [1, "before"]), [[1, "before"]])

    if not report.run("reconnect/before", before):
        return
    print("READY", flush=True)
    assert sys.stdin.readline(), "stdin was closed: expected a line once the server was restarted"
    report.run("reconnect/connector_came_back", settle, client)
    report.run(
        "reconnect/old_row",
        lambda: expect_equal(client.select(space, "primary", [1], {}), [[1, "before"]]),
    )
    report.run(
        "reconnect/new_row",
        lambda: expect_equal(client.insert(space, [2, "after"]), [[2, "after"]]),
    )
    report.run("reconnect/drop", drop_space, client, space)


# ---- phases blocked and control --------------------------------------------------------


def timed(report, name, step):
    """Runs a step, prints how long it took, fails beyond the bound. Returns the step's result."""
    result = []

    def check():
        start = time.monotonic()
        result.append(step())
        elapsed = time.monotonic() - start
        print(f"# {name} took {elapsed * 1000:.2f} ms", flush=True)
        assert elapsed < BLOCKED_STEP_LIMIT_S, f"took {elapsed:.1f} s"

    report.run(name, check)
    return result[0] if result else None


def expect_busy(reason, action, *args):
    """`reason` None: any, but there must be one."""
    error = expect_error(BUSY, None, action, *args)
    assert (
        "busy" in error.message
    ), f"the text {error.message!r} does not say that the server is busy"
    fields = error.fields or {}
    missing = BUSY_FIELDS - set(fields)
    assert not missing, f"the error fields {fields!r} lack {sorted(missing)}"
    expect_equal(fields["state"], "solo")
    assert isinstance(fields["reason"], str) and fields["reason"], f"no reason in {fields!r}"
    assert (
        reason is None or reason in fields["reason"]
    ), f"the reason {fields['reason']!r} does not tell {reason!r}"


def blocked_phase(report, suite, connect):
    """`connect()` makes a new connection, logs in and loads the schema."""
    space = f"persist_{suite}"
    client = timed(report, "blocked/connect_and_schema", connect)
    if client is None:
        return
    timed(report, "blocked/ping", client.ping)
    timed(
        report,
        "blocked/write_is_refused",
        lambda: expect_busy(None, client.replace, space, persisted_row(1)),
    )
    for number in (1, 42, PERSISTED_ROWS):
        timed(
            report,
            f"blocked/read_row_{number}",
            lambda number=number: expect_equal(
                client.select(space, "primary", [number], {}), [persisted_row(number)]
            ),
        )
    timed(
        report,
        "blocked/state",
        lambda: expect_equal(client.call("vestibule.state", [])[0]["state"], "solo"),
    )
    timed(report, "blocked/ping_again", client.ping)
    client.close()


def control_phase(client, report, suite):
    space = f"control_{suite}"
    drop_space(client, space)
    create_space(client, space)
    report.run("control/state", _check_state, client, "assist")
    try:
        report.run("control/solo", client.call, "vestibule.solo", ["maintenance"])
        report.run(
            "control/write_is_refused",
            expect_busy,
            "maintenance",
            client.replace,
            space,
            [1, "refused"],
        )
        report.run("control/ping_in_solo", client.ping)
        report.run("control/state_in_solo", _check_state, client, "solo", "maintenance")
    finally:
        # Whatever failed above: the next suite must not find the server in solo.
        report.run("control/assist", client.call, "vestibule.assist", [])
    report.run("control/state_after", _check_state, client, "assist")
    report.run(
        "control/write_after", lambda: expect_equal(client.replace(space, [1, "ok"]), [[1, "ok"]])
    )
    report.run(
        "control/refused_was_not_executed",
        lambda: expect_equal(client.select(space, 0, [], {}), [[1, "ok"]]),
    )
    for kind in ("connections", "requests", "transitions", "limits"):
        report.run(f"control/show_{kind}", _check_show, client, kind)
    report.run("control/drop", drop_space, client, space)


def _check_state(client, state, reason=None):
    values = client.call("vestibule.state", [])
    expect_equal(len(values), 1)
    missing = STATE_KEYS - set(values[0])
    assert not missing, f"{values[0]!r} lacks {sorted(missing)}"
    expect_equal(values[0]["state"], state)
    if reason is not None:
        assert (
            reason in values[0]["reason"]
        ), f"reason {values[0]['reason']!r} does not tell {reason!r}"


def _check_show(client, kind):
    values = client.call("vestibule.show", [kind])
    expect_equal(len(values), 1)
    assert isinstance(values[0], list), f"wanted an array, got {values[0]!r}"
    assert all(isinstance(row, dict) for row in values[0]), f"wanted maps, got {values[0]!r}"
    if kind in ("connections", "limits"):
        assert values[0], "is empty"
