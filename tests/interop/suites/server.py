"""A vestibule on loopback that a connector's own suite starts, sets up by requests and stops.

The suite's connections go by TCP, or by what VESTIBULE_TEST_TRANSPORT says: unix or tls. Those of the
set-up go by TCP.
"""

import atexit
import contextlib
import faulthandler
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import weakref

import tarantool

START_LIMIT_S = 30
TRANSPORT = os.environ.get("VESTIBULE_TEST_TRANSPORT", "tcp")
CERTIFICATES = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "../../../client/tests/certificates"
)
# What a client that comes by TLS trusts.
CA_FILE = os.path.join(CERTIFICATES, "ca.pem")

# All that may be running.
_servers = weakref.WeakSet()


def limit_time(seconds):
    """Ends a suite that hangs, with the stacks of its threads and without its servers: nothing else
    stops them then."""

    def give_up():
        print(f"WRONG the suite is still running after {seconds} s", flush=True)
        faulthandler.dump_traceback()
        for server in list(_servers):
            server.kill()
            server.remove_directory()
        os._exit(1)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Server:
    """The server, on one address for all its life. It keeps its directory until it is discarded, at
    the end of this process if not before."""

    def __init__(self, set_up, arguments=(), transport=TRANSPORT):
        self.transport = transport
        self.admin_port = free_port()
        # Where the suite connects to, in the words of the Python connectors.
        if transport == "unix":
            self.host = "unix/"
            # It is the same for all its life, and its directory is not.
            handle, self.port = tempfile.mkstemp(prefix="vestibule-suite-", suffix=".sock")
            os.close(handle)
            os.remove(self.port)
        else:
            self.host = "127.0.0.1"
            self.port = free_port() if transport == "tls" else self.admin_port
        self._set_up = set_up
        self._arguments = list(arguments)
        self._process = None
        self._directory = None
        # A suite whose set-up fails never comes to stop what it has started.
        atexit.register(self.discard)
        _servers.add(self)

    def start(self):
        if self._directory is None:
            self._directory = tempfile.mkdtemp(prefix="vestibule-suite-")
        command = [os.environ["VESTIBULE_TEST_SERVER"], "--listen", f"127.0.0.1:{self.admin_port}"]
        command += ["--data", os.path.join(self._directory, "data"), *self._arguments]
        if self.transport == "unix":
            command += ["--listen", f"unix:{self.port}"]
        elif self.transport == "tls":
            # A key is its owner's alone.
            key = os.path.join(self._directory, "server.key")
            shutil.copyfile(os.path.join(CERTIFICATES, "server.key"), key)
            os.chmod(key, 0o600)
            command += ["--tls-listen", f"{self.host}:{self.port}", "--tls-key", key]
            command += ["--tls-certificate", os.path.join(CERTIFICATES, "server.pem")]
        log = open(os.path.join(self._directory, "output"), "wb")
        with log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        with contextlib.closing(self.connect()) as admin:
            self._set_up(admin)

    def connect(self):
        """A connection of an administrator, once the server serves: while it loads, it greets."""
        end = time.monotonic() + START_LIMIT_S
        while True:
            try:
                admin = tarantool.Connection("127.0.0.1", self.admin_port, connect_now=True)
                if admin.call("vestibule.state")[0]["state"] != "loading":
                    return admin
                admin.close()
            except tarantool.error.Error:
                if self._process.poll() is not None:
                    raise
            if time.monotonic() > end:
                raise TimeoutError("the server does not serve")
            time.sleep(0.02)

    @property
    def is_started(self):
        return self._process is not None

    def stop(self):
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(START_LIMIT_S)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._process = None

    def kill(self):
        """Ends it at once; its directory stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def discard(self):
        """Stops it and removes its directory: the next start has none of the data."""
        self.stop()
        self.remove_directory()

    def remove_directory(self):
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None


def index(name, *parts, **options):
    """A name and options for `create_index`; parts are (field, type)."""
    return (name, {"parts": [list(part) for part in parts], **options})


def make_space(admin, name, indexes, **options):
    admin.call("box.schema.space.create", name, options)
    for index_name, index_options in indexes:
        admin.call(f"box.space.{name}:create_index", index_name, index_options)
