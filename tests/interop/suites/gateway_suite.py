"""The suite that comes with a connector, against a real Tarantool and through a gateway before one:
what became of each test has to be the same, but for what is listed with its reason."""

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

import tarantool
from outcome import Result, read_list
from server import free_port, limit_time

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT_S = 300
START_LIMIT_S = 30
ER_LOADING = 116
# How the reason of a test begins that comes out either way, whatever it goes through.
BY_CHANCE = "by chance, "


def serves(host, port, ready=None):
    """Whether requests are executed there: a gateway is there before its upstream is. With an
    expression of Lua, whether that is true."""
    try:
        at_path = str(host) == "unix/"
        connection = tarantool.Connection(None if at_path else host, port, fetch_schema=False)
        try:
            if ready is None:
                connection.call("box.info")
                return True
            return connection.eval(f"return {ready}")[0]
        finally:
            connection.close()
    except tarantool.error.NetworkError:
        return False
    except tarantool.error.DatabaseError as error:
        # A refusal of its own is an answer.
        return error.code != ER_LOADING


def wait_until_it_serves(host, port, ready=None):
    end = time.monotonic() + START_LIMIT_S
    while not serves(host, port, ready):
        if time.monotonic() > end:
            raise TimeoutError(f"nobody serves at {host}:{port}")
        time.sleep(0.02)


def make_shim(directory):
    """A `tarantool` for the suites to find."""
    shim = os.path.join(directory, "tarantool")
    with open(shim, "w", encoding="utf-8") as file:
        program = os.path.join(HERE, "behind_gateway.py")
        file.write(f'#!/bin/sh\nexec "{sys.executable}" "{program}" "$@"\n')
    os.chmod(shim, 0o755)
    os.environ["PATH"] = directory + os.pathsep + os.environ["PATH"]


# ---- the suites ------------------------------------------------------------------------


def run_unittest(suite):
    result = unittest.TextTestRunner(resultclass=Result, verbosity=2).run(suite)
    passed = result.passed - result.failed.keys()
    failed = {name: repr(error) for name, error in result.failed.items()}
    return {"passed": sorted(passed), "failed": failed, "skipped": result.skipped_names}


def run_asynctnt(source, _):
    import asynctnt.instance

    class Instance(asynctnt.instance.TarantoolSyncInstance):
        def start(self, *, wait=True, recreate=True):
            super().start(wait=wait, recreate=recreate)
            if wait:
                wait_until_it_serves(self.host, self.port)

        def revive(self):
            """What a test has killed, and failed then, is there for the next one."""
            if not serves(self.host, self.port):
                self.stop()
                self.start()

    asynctnt.instance.TarantoolSyncInstance = Instance
    sys.path.insert(0, source)
    import tests

    tear_down = tests.BaseTarantoolTestCase.tearDown

    def tear_down_and_revive(self):
        self.tnt.revive()
        tear_down(self)

    tests.BaseTarantoolTestCase.tearDown = tear_down_and_revive
    tests.BaseTarantoolTestCase.TNT_APP_LUA_PATH = os.path.join(HERE, "asynctnt_app.lua")
    return run_unittest(unittest.defaultTestLoader.discover("tests", top_level_dir=source))


def run_tarantool(source, directory):
    # It makes its files beside its suites.
    os.symlink(os.path.join(source, "test"), os.path.join(directory, "test"))
    sys.path.insert(0, directory)
    # What is tested is what was installed.
    os.environ["TEST_PURE_INSTALL"] = "1"
    from test.suites.lib import tarantool_server

    start = tarantool_server.TarantoolServer.start

    def start_and_wait(self):
        start(self)
        wait_until_it_serves(self.host, self.args["primary"])

    tarantool_server.TarantoolServer.start = start_and_wait
    tarantool_server.find_port = lambda _=None: free_port()
    return run_unittest(unittest.defaultTestLoader.loadTestsFromName("test.suites"))


class Container:
    """A Tarantool that can be killed, and has its data at the next start."""

    transport = "tcp"

    def __init__(self, script, ready):
        self.port = free_port()
        self._script, self._ready = script, ready
        self._directory = tempfile.mkdtemp(dir=os.getcwd())
        self._process = None

    @property
    def is_started(self):
        return self._process is not None

    def start(self):
        self._process = subprocess.Popen(
            ["tarantool", self._script],
            cwd=self._directory,
            env={
                **os.environ,
                "SUITE_AT": f"127.0.0.1:{self.port}",
                "SUITE_SUPER_GUEST": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until_it_serves("127.0.0.1", self.port, self._ready)

    def kill(self):
        self._process.kill()
        self._process.wait()
        self._process = None

    discard = kill


def run_node_driver(source, _):
    suite = importlib.import_module("tarantool-driver_suite")
    # With what is true when they have come to their ends.
    scripts = {
        "tarantool": ("box.lua", "func_arg ~= nil"),
        "reserve": ("box1.lua", "box.space._vuser.index.name:count('test') == 1"),
        "reserve_2": ("box2.lua", "true"),
    }
    for name, (script, ready) in scripts.items():
        container = Container(os.path.join(source, "test", script), ready)
        suite.SERVERS[name] = (suite.SERVERS[name][0], container)
    os.environ["SUITE_HAS_LUA"] = "1"
    try:
        for _, container in suite.SERVERS.values():
            container.start()
        return suite.run(source)
    finally:
        for _, container in suite.SERVERS.values():
            if container.is_started:
                container.discard()


SUITES = {
    "asynctnt": run_asynctnt,
    "tarantool": run_tarantool,
    "tarantool-driver": run_node_driver,
}


# ---- both ways -------------------------------------------------------------------------


def run_once(name, source, path):
    """In a process of its own: suites change what they import."""
    limit_time(LIMIT_S)
    with tempfile.TemporaryDirectory(prefix="vestibule-suite-") as directory:
        make_shim(directory)
        os.chdir(directory)
        outcome = SUITES[name](source, directory)
        os.chdir("/")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(outcome, file)


def outcome_of(name, source, is_through):
    environment = dict(os.environ)
    if is_through:
        environment["SUITE_GATEWAY"] = "1"
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [sys.executable, __file__, "once", name, source, file.name]
        began = time.monotonic()
        done = subprocess.run(
            command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if done.returncode != 0:
            said = done.stdout[-20000:]
            raise RuntimeError(f"{said}\nWRONG the suite ended with {done.returncode}")
        took = time.monotonic() - began
        with open(file.name, encoding="utf-8") as written:
            outcome = json.load(written)
    counts = ", ".join(f"{len(names)} {kind}" for kind, names in outcome.items())
    print(f"{name}, {'through a gateway' if is_through else 'directly'}: {counts}; {took:.0f} s")
    return outcome


def by_name(outcome):
    """What became of each test, and what it says of that."""
    all_of_them = {name: ("passed", "") for name in outcome["passed"]}
    for kind in ("failed", "skipped"):
        all_of_them.update({name: (kind, why) for name, why in outcome[kind].items()})
    return all_of_them


def compare(direct, through, listed):
    """What is wrong: both ways."""
    nothing = ("missing", "")
    wrong = []
    different = set()
    for name in sorted(direct.keys() | through.keys()):
        own, other = direct.get(name, nothing), through.get(name, nothing)
        if own[0] == other[0]:
            continue
        different.add(name)
        if name not in listed:
            wrong.append(f"{name} {own[0]} directly, and {other[0]} through a gateway: {other[1]}")
    certain = {name for name, reason in listed.items() if not reason.startswith(BY_CHANCE)}
    for name in sorted(certain - different):
        wrong.append(f"{name} is listed, and the same both ways")
    if not any(kind == "passed" for kind, _ in through.values()):
        wrong.append("no test passed")
    return wrong


def main(name, source):
    source = os.path.abspath(source)
    # At once: mostly they wait.
    with ThreadPoolExecutor() as both:
        ways = both.map(lambda is_through: outcome_of(name, source, is_through), (False, True))
        direct, through = map(by_name, ways)
    listed = read_list(os.path.join(HERE, f"{name}-gateway.txt"))
    wrong = compare(direct, through, listed)
    for line in wrong:
        print("WRONG", line)
    return bool(wrong)


if __name__ == "__main__":
    if sys.argv[1] == "once":
        run_once(*sys.argv[2:])
    else:
        sys.exit(main(*sys.argv[1:]))
