#!/usr/bin/env python3
"""Compares how long vestibule and Tarantool take to start from the same rows.

Both get the rows {unsigned, string of 20 bytes} over the wire, half of them before `box.snapshot()`
and half after it, and are killed. Then they are started in turn, several times; measured is the time
from the start of the process until a SELECT of the last row is answered. Needs nothing but the
standard library. See README.md beside this file.
"""

import argparse
import json
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from compare import Failure, first_line, find, free_port, hardware, run, write_json

OURS, TARANTOOL = "vestibule", "tarantool"
# The first number of a user's space, in both.
SPACE = 512
PATIENCE_SECONDS = 600
POLL_SECONDS = 0.002
# Request types and keys of IPROTO.
SELECT, REPLACE, CALL = 1, 3, 10
LOADING = 116

TARANTOOL_LUA = """
box.cfg{{wal_mode = 'write', log_level = 3, memtx_memory = {memory}, checkpoint_interval = 0,
         listen = '127.0.0.1:{port}'}}
"""
# Everything that is not rows: rights and the space.
TARANTOOL_SETUP = """
box.schema.user.grant('guest', 'super', nil, nil, {if_not_exists = true})
box.schema.space.create('rows', {if_not_exists = true}):create_index('pk', {if_not_exists = true})
"""


class Client:
    """As much of IPROTO as is needed here."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(PATIENCE_SECONDS)
        self.input = self.socket.makefile("rb", 1 << 20)
        self.greeting = self.input.read(128)
        if not self.greeting.startswith(b"Tarantool "):
            raise Failure("no greeting")

    def close(self):
        self.input.close()
        self.socket.close()

    def receive(self):
        """One reply: its code, and what follows the header."""
        prefix = self.input.read(5)
        if len(prefix) < 5:
            raise ConnectionError("closed")
        reply = self.input.read(struct.unpack(">xI", prefix)[0])
        # Tarantool's fixed header: 83 00 ce <code> 01 cf <sync> 05 ce <schema version>.
        return struct.unpack(">I", reply[3:7])[0] & 0x7fff, reply[23:]

    def ask(self, request):
        self.socket.sendall(request)
        return self.receive()

    def call(self, name, *args):
        values = b"".join(text(value) for value in args)
        body = b"\x82\x22" + text(name) + b"\x21" + bytes([0x90 | len(args)]) + values
        code, reply = self.ask(frame(CALL, body))
        if code:
            raise Failure(f"{name}: error {code}: {reply!r}")
        return reply


def text(value):
    return bytes([0xd9, len(value)]) + value.encode()


def frame(kind, body):
    packet = b"\x82\x00" + bytes([kind]) + b"\x01\x00" + body
    return b"\xce" + struct.pack(">I", len(packet)) + packet


def replace(key):
    row = b"\x92\xce" + struct.pack(">I", key) + b"\xb4" + f"text of row {key:08}".encode()
    return frame(REPLACE, b"\x82\x10\xcd" + struct.pack(">H", SPACE) + b"\x21" + row)


def select(key):
    body = (b"\x86\x10\xcd" + struct.pack(">H", SPACE) + b"\x11\x00\x12\x01\x13\x00\x14\x00\x20"
            + b"\x91\xce" + struct.pack(">I", key))
    return frame(SELECT, body)


def write(client, keys, in_flight):
    """Writes rows, so many requests at a time."""
    keys = list(keys)
    for start in range(0, len(keys), in_flight):
        batch = keys[start:start + in_flight]
        client.socket.sendall(b"".join(replace(key) for key in batch))
        for _ in batch:
            code, reply = client.receive()
            if code:
                raise Failure(f"a row was refused: {code} {reply!r}")


def start(options, name, directory, setup=False):
    """Starts a process; returns it with its port."""
    port = free_port()
    if name == OURS:
        command = [options.vestibule, "serve", "--listen", f"127.0.0.1:{port}", "--data",
                   str(directory / "data"), "--journal-sync", "never", "--checkpoint-interval", "0",
                   "--checkpoint-journal-size", "0", "--log", "warn"]
    else:
        script = directory / "init.lua"
        memory = max(256 << 20, options.rows * 400)
        script.write_text(TARANTOOL_LUA.format(port=port, memory=memory)
                          + (TARANTOOL_SETUP if setup else ""))
        command = [options.tarantool, str(script)]
    log = open(directory / "log", "ab")
    with log:
        process = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=log, start_new_session=True)
    return process, port


def wait(process, port, key):
    """Asks until the row is there; returns the client."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise Failure(f"ended with code {process.returncode}")
        try:
            client = Client(port)
        except OSError:
            time.sleep(POLL_SECONDS)
            continue
        while True:
            try:
                code, body = client.ask(select(key))
            except OSError:
                break
            # {DATA: array of 32 bits}: Tarantool answers before it has read all of its journal.
            if code == 0 and struct.unpack(">I", body[3:7])[0] == 1:
                return client
            if code not in (0, LOADING):
                raise Failure(f"error {code}: {body!r}")
            time.sleep(POLL_SECONDS)
        client.close()
    raise Failure("was not ready in time")


def prepare(options, name, directory):
    """Writes the rows, half before a snapshot and half after it."""
    directory.mkdir()
    process, port = start(options, name, directory, setup=True)
    try:
        client = greet(process, port)
        if name == OURS:
            client.call("box.schema.space.create", "rows")
            client.call("box.space.rows:create_index", "pk")
        half = options.rows // 2
        # Interleaved, so that the second half goes between the rows of the first.
        write(client, range(0, 2 * half, 2), options.in_flight)
        client.call("box.snapshot")
        write(client, range(1, 2 * half, 2), options.in_flight)
        client.close()
    finally:
        process.kill()
        process.wait()
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())


def greet(process, port):
    """Connects once the server is ready to write."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            client = Client(port)
            client.call("box.snapshot")
            return client
        except (OSError, Failure):
            time.sleep(0.05)
    raise Failure("did not start")


def measure(options, name, directory):
    """Seconds from the start of the process to the answer."""
    begin = time.monotonic()
    process, port = start(options, name, directory)
    try:
        client = wait(process, port, options.rows // 2 * 2 - 1)
        seconds = time.monotonic() - begin
        client.close()
    finally:
        process.kill()
        process.wait()
    return seconds


def report(options, runs, sizes):
    print(f"\n{'start':<12} {'median s':>9} {'lowest':>9} {'highest':>9} {'rows/s':>12}"
          f" {'bytes':>13}")
    medians = {}
    for name, seconds in runs.items():
        medians[name] = statistics.median(seconds)
        print(f"  {name:<10} {medians[name]:>9.3f} {min(seconds):>9.3f} {max(seconds):>9.3f}"
              f" {options.rows / medians[name]:>12,.0f} {sizes[name]:>13,}")
    ratio = medians[OURS] / medians[TARANTOOL]
    print(f"  vestibule / tarantool {ratio:.2f}")
    return {"medians": medians, "ratio": ratio}


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vestibule", default="target/release/vestibule", metavar="PATH",
                        help="the binary to measure (default: %(default)s)")
    parser.add_argument("--tarantool", default="tarantool", metavar="PATH",
                        help="the Tarantool to compare with (default: the one on the path)")
    parser.add_argument("--rows", type=int, default=1_000_000, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--in-flight", type=int, default=1, metavar="N",
                        help="requests at a time while rows are written: with 1, each row is a "
                             "journal record of its own (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write everything there as JSON too")
    options = parser.parse_args()
    if min(options.rows // 2, options.rounds, options.in_flight) < 1:
        parser.error("--rows must be at least 2, --rounds and --in-flight at least 1")
    options.no_vestibule = options.no_tarantool = False
    options.generator = options.vestibule
    return options


def work(options):
    find(options)
    machine = hardware()
    versions = {OURS: first_line([options.vestibule, "--version"]),
                TARANTOOL: first_line([options.tarantool, "--version"])}
    print(f"machine   {machine['cpu']}, {machine['cores']} cores, {machine['kernel']}")
    for name, version in versions.items():
        print(f"{name:<9} {version}")
    print(f"rows      {options.rows:,}, {options.in_flight} at a time, {options.rounds} rounds")
    if machine["load_average"] > 0.5:
        print(f"warning   the machine is not idle: load average {machine['load_average']:.2f}")
    sys.stdout.flush()
    with tempfile.TemporaryDirectory(prefix="vestibule-recovery-") as top:
        names = [OURS, TARANTOOL]
        sizes = {name: prepare(options, name, Path(top) / name) for name in names}
        runs = {name: [] for name in names}
        for turn in range(options.rounds):
            for name in names if turn % 2 == 0 else reversed(names):
                runs[name].append(measure(options, name, Path(top) / name))
        result = report(options, runs, sizes)
    write_json(options, {"machine": machine, "versions": versions, "rows": options.rows,
                         "in_flight": options.in_flight, "runs": runs, "bytes": sizes, **result})


if __name__ == "__main__":
    sys.exit(run(work, parse()))
