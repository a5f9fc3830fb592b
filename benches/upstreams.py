"""What benches/gateway.py runs and asks: Tarantools, what stands before them, and a client of its own
for requests that the generator does not make."""

import contextlib
import os
import select
import socket
import struct
import tempfile
import threading
import time
from pathlib import Path

import compare

DIRECT, HAPROXY, GATEWAY = "direct", "haproxy", "gateway"
# More than the clients of the largest shape have in flight, and by default.
MORE_REQUESTS = "2000"
MORE = f"gateway, --upstream-requests-max {MORE_REQUESTS}"
SPACE = 512
GREETING_SIZE = 128
CODE_AT, HEAD_SIZE = 8, 5
SYNC_AT, SYNC_SIZE = 14, 8
PING, REPLACE, SELECT, EVAL = 64, 3, 1, 8
WHOLE = socket.MSG_WAITALL
PATIENCE_S = 20

# All may write until they have what a benchmark needs; nobody connects before that.
LUA = """
box.cfg{{wal_mode = 'write', log_level = 3, memtx_memory = {memory} * 1024 * 1024}}
box.schema.user.grant('guest', 'super', nil, nil, {{if_not_exists = true}})
box.schema.create_space('bench_gateway', {{if_not_exists = true}})
box.space.bench_gateway:create_index('primary', {{if_not_exists = true}})
box.cfg{{read_only = {read_only}}}
box.cfg{{listen = '127.0.0.1:{port}'}}
"""
HAPROXY_CONFIG = """
global
    maxconn 4000
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
frontend clients
    bind 127.0.0.1:{port}
    default_backend upstream
backend upstream
    server a 127.0.0.1:{upstream}
"""


# ---- servers ---------------------------------------------------------------------------


class Tarantool:
    """An instance that can be killed, and has its data at the next start."""

    def __init__(self, options, directory, cores=None, memory=256):
        self.directory, self.cores, self.memory = Path(directory), cores, memory
        self.directory.mkdir()
        self.port = compare.free_port()
        self._binary = options.tarantool
        self.server = None

    def start(self, read_only=False):
        script = self.directory / "init.lua"
        script.write_text(LUA.format(port=self.port, memory=self.memory,
                                     read_only="true" if read_only else "false"))
        self.server = compare.Server("tarantool", self.directory, [self._binary, str(script)],
                                     self.port, self.cores)
        self.server.wait()

    def evaluate(self, lua):
        with contextlib.closing(Client(self.port)) as client:
            return client.evaluate(lua)

    def set_read_only(self, read_only):
        self.evaluate(f"box.cfg{{read_only = {'true' if read_only else 'false'}}}")

    def signal(self, number):
        os.kill(self.server.process.pid, number)

    def kill(self):
        self.server.process.kill()
        self.server.process.wait()


def start_gateway(options, directory, upstreams, cores=None, more=()):
    port = compare.free_port()
    command = [options.vestibule, "serve", "--listen", f"127.0.0.1:{port}", *more]
    for name, upstream in upstreams.items():
        command += ["--upstream", f"{name}=127.0.0.1:{upstream.port}"]
    directory = Path(directory)
    directory.mkdir()
    server = compare.Server(GATEWAY, directory, command, port, cores)
    server.wait()
    return server


def start_haproxy(options, directory, upstream, cores=None):
    port = compare.free_port()
    directory = Path(directory)
    directory.mkdir()
    config = directory / "haproxy.cfg"
    config.write_text(HAPROXY_CONFIG.format(port=port, upstream=upstream.port))
    server = compare.Server(HAPROXY, directory, [options.haproxy, "-db", "-f", str(config)], port,
                            cores)
    server.wait()
    return server


@contextlib.contextmanager
def cell(options, cores=None, with_more=False, upstream_cores=None):
    """An upstream and what is before it, by contender; gone at the end in any case."""
    with tempfile.TemporaryDirectory(prefix="vestibule-gateway-") as top, \
            contextlib.ExitStack() as stack:
        upstream = Tarantool(options, f"{top}/a", upstream_cores or cores)
        upstream.start()
        stack.callback(upstream.server.stop)
        running = {DIRECT: upstream.server}
        if HAPROXY in options.contenders:
            running[HAPROXY] = start_haproxy(options, f"{top}/h", upstream, cores)
            stack.callback(running[HAPROXY].stop)
        gateways = {GATEWAY: []}
        if with_more:
            gateways[MORE] = ["--upstream-requests-max", MORE_REQUESTS]
        for name, more in gateways.items():
            directory = f"{top}/{name.replace(' ', '-')}"
            running[name] = start_gateway(options, directory, {"a": upstream}, cores, more)
            stack.callback(running[name].stop)
        yield upstream, running


def processor_time(process):
    """Seconds of all threads of a process so far."""
    with open(f"/proc/{process.pid}/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---- a client --------------------------------------------------------------------------


def pack(value):
    """MessagePack of what is asked here."""
    if isinstance(value, int):
        return bytes([value]) if value < 128 else b"\xce" + struct.pack(">I", value)
    if isinstance(value, str):
        text = value.encode()
        return b"\xda" + struct.pack(">H", len(text)) + text
    if isinstance(value, dict):
        pairs = [pack(key) + pack(own) for key, own in value.items()]
        return bytes([0x80 + len(pairs)]) + b"".join(pairs)
    return bytes([0x90 + len(value)]) + b"".join(map(pack, value))


def request(code, body, sync=1):
    content = pack({0: code, 1: sync}) + pack(body)
    return b"\xce" + struct.pack(">I", len(content)) + content


def ping(sync=1):
    return request(PING, {}, sync)


def replace(key, sync=1):
    return request(REPLACE, {0x10: SPACE, 0x21: [key, key]}, sync)


def select_one(key, sync=1):
    body = {0x10: SPACE, 0x11: 0, 0x12: 1, 0x13: 0, 0x14: 0, 0x20: [key]}
    return request(SELECT, body, sync)


def select_all(space):
    body = {0x10: space, 0x11: 0, 0x12: 1000, 0x13: 0, 0x14: 2, 0x20: []}
    return request(SELECT, body)


class Client:
    """A connection with one request at a time."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""
        self._take(GREETING_SIZE)

    def _take(self, size):
        while len(self._read) < size:
            part = self.socket.recv(65536)
            if not part:
                raise ConnectionError("the connection has ended")
            self._read += part
        taken, self._read = self._read[:size], self._read[size:]
        return taken

    def send(self, frame):
        self.socket.sendall(frame)

    def code(self):
        """The code of the next reply, and its frame: 0, or that of an error."""
        head = self._take(HEAD_SIZE)
        frame = head + self._take(int.from_bytes(head[1:], "big"))
        return int.from_bytes(frame[CODE_AT:CODE_AT + 4], "big") & 0x7FFF, frame

    def codes(self):
        """The same of the next reply, and of those that have come with it."""
        yield self.code()
        while self._read:
            yield self.code()

    def ask(self, frame):
        self.send(frame)
        return self.code()[0]

    def evaluate(self, lua):
        """Runs Lua that returns a text, or nothing."""
        self.send(request(EVAL, {0x27: lua, 0x21: []}))
        code, frame = self.code()
        if code:
            raise compare.Failure(f"{lua}: {frame!r}")
        return frame

    def close(self):
        self.socket.close()


def sync_of(frame):
    """The sync of the request that a reply is to."""
    return int.from_bytes(frame[SYNC_AT:SYNC_AT + SYNC_SIZE], "big")


def number_of(upstream, expression):
    """A whole number that an upstream tells of itself."""
    frame = upstream.evaluate(f"return '<' .. tostring({expression}) .. '>'")
    return int(frame.split(b"<", 1)[1].split(b">", 1)[0].split(b"U")[0])


def connections_of(upstream):
    """How many it has, without the one that asks."""
    return number_of(upstream, "box.stat.net().CONNECTIONS.current") - 1


# ---- what befalls upstreams ------------------------------------------------------------


def answered_after(client):
    """Milliseconds until a client is answered that asks again and again."""
    began = time.monotonic()
    while client.ask(replace(1)) != 0:
        if time.monotonic() > began + PATIENCE_S:
            raise compare.Failure("nobody is answered")
    return (time.monotonic() - began) * 1e3


class Writer(threading.Thread):
    """Writes one after another, and notes when each was answered, and what."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self._client = Client(port)
        self._ends = threading.Event()
        self.answers = []

    def run(self):
        key = 0
        while not self._ends.is_set():
            key = (key + 1) % 1000
            code = self._client.ask(replace(key))
            self.answers.append((time.monotonic(), code))

    def first_done_since(self, since):
        """When a write was acknowledged first since then; waits for it."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            for at, code in reversed(self.answers[-2000:]):
                if at < since:
                    break
                if code == 0:
                    return min(own for own, code in self.answers[-2000:]
                               if own >= since and code == 0)
            time.sleep(0.001)
        raise compare.Failure("nothing is written after a fail-over")

    def end(self):
        self._ends.set()
        self.join(PATIENCE_S)
        self._client.close()


def kill_and_promote(primary, other, writer, after):
    """Kills the one and promotes the other; milliseconds until a write is acknowledged since."""
    primary.kill()
    time.sleep(after)
    other.set_read_only(False)
    promoted = time.monotonic()
    took = writer.first_done_since(promoted) - promoted
    primary.start(read_only=True)
    return took * 1e3


def stop_and_promote(primary, other, port, after):
    """The same with one that hangs, for requests that come one after another, each over a
    connection of its own: what it was sent before it was given up waits."""
    primary.signal(19)
    time.sleep(after)
    other.set_read_only(False)
    promoted, asked = time.monotonic(), []
    try:
        while True:
            client = Client(port)
            asked.append(client)
            client.send(replace(1))
            ready, _, _ = select.select([own.socket for own in asked], [], [], 0.005)
            for client in [own for own in asked if own.socket in ready]:
                if client.code()[0] == 0:
                    return (time.monotonic() - promoted) * 1e3
                asked.remove(client)
                client.close()
            if time.monotonic() > promoted + PATIENCE_S:
                raise compare.Failure("nothing is written after a fail-over")
    finally:
        for client in asked:
            client.close()
        primary.signal(18)
        primary.set_read_only(True)
