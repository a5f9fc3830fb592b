"""The suite of tarantool-python's source distribution, against vestibules. Its set-ups are chunks
of Lua for the console of the Tarantool that it starts: here Lua runs apart, and its `box` is
requests to the server (console.lua)."""

import json
import os
import subprocess
import sys
import types
import unittest

import tarantool
from outcome import Result, judge
from packaging.version import parse
from server import CA_FILE, TRANSPORT, Server, free_port, limit_time

LIMIT_S = 600
# What is run by unix sockets: what connects, and requests and replies of all kinds. How values
# are written is the same by all transports.
CARRIED = ["test_dml", "test_encoding", "test_protocol", "test_reconnect"]
# What is not run by TLS: what waits for servers that come and go, most of the time of the whole.
WAITING = ["test_mesh", "test_pool"]
HERE = os.path.dirname(os.path.abspath(__file__))


# The ports at which TLS is spoken.
_secured = set()


def speak_tls():
    """Has the connections of the suite to these ports speak TLS, which it does not ask for."""
    plain = tarantool.Connection.__init__

    def secured(self, host=None, port=None, *args, **kwargs):
        if port in _secured:
            kwargs.update(transport="ssl", ssl_ca_file=CA_FILE)
        plain(self, host, port, *args, **kwargs)

    tarantool.Connection.__init__ = secured


class Console:
    """Lua with a `box` of the server's, until it is closed."""

    def __init__(self, port):
        lua = os.environ["VESTIBULE_TEST_TARANTOOL"]
        self._process = subprocess.Popen(
            [lua, os.path.join(HERE, "console.lua"), str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._version = None

    def __call__(self, chunk):
        """The values that a chunk returns; None if there is none."""
        self._process.stdin.write(chunk.replace("\n", " ") + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise EOFError("the console has ended")
        return json.loads(line) or None

    @property
    def tnt_version(self):
        if self._version is None:
            self._version = parse(self("box.info.version")[0])
        return self._version

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


class Instance(Server):
    """In place of the suite's own, which starts a Tarantool."""

    def __init__(self, create_unix_socket=False, **_):
        transport = "unix" if create_unix_socket else TRANSPORT
        super().__init__(lambda _: None, transport=transport)
        if transport == "unix":
            # As this connector tells a path from a port.
            self.host = None
        elif transport == "tls":
            _secured.add(self.port)
        self.script = None
        self.admin = None
        self.args = {"primary": self.port, "admin": None}

    def start(self):
        if os.path.basename(self.script) != "box.lua":
            raise unittest.SkipTest(f"the Lua program {self.script} is run by the server")
        super().start()
        self.admin = Console(self.admin_port)

    def stop(self):
        if self.admin is not None:
            self.admin.close()
            self.admin = None
        super().stop()

    def restart(self):
        self.stop()
        self.start()

    def is_started(self):
        return self._process is not None

    def touch_lock(self):
        """Locks are of a server that suites share."""

    def clean(self):
        self.discard()


def cases(suite):
    """The tests of a suite, of those in it as well."""
    for own in suite:
        if isinstance(own, unittest.TestSuite):
            yield from cases(own)
        else:
            yield own


def is_carried(module):
    """Whether a file's tests are run by this transport."""
    name = module.rpartition(".")[2]
    if TRANSPORT == "unix":
        return name in CARRIED
    return TRANSPORT == "tcp" or name not in WAITING


def main(source, listed):
    limit_time(LIMIT_S)
    os.chdir(source)
    sys.path.insert(0, source)
    module = types.ModuleType("test.suites.lib.tarantool_server")
    module.TarantoolServer, module.find_port = Instance, free_port
    sys.modules[module.__name__] = module
    speak_tls()
    # What is tested is what was installed.
    os.environ["TEST_PURE_INSTALL"] = "1"
    whole = unittest.defaultTestLoader.loadTestsFromName("test.suites")
    suite = unittest.TestSuite(own for own in cases(whole) if is_carried(type(own).__module__))
    modules = {type(own).__module__ for own in suite}
    runner = unittest.TextTestRunner(resultclass=Result, verbosity=0)
    return judge(runner.run(suite), listed, TRANSPORT, None if TRANSPORT == "tcp" else modules)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], os.path.join(HERE, "tarantool.txt")))
