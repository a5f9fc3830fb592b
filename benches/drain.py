#!/usr/bin/env python3
"""A drain with a deadline of 3 s, of three servers that something holds up.

  vestibule   SIGTERM with --shutdown-grace-period 3s: its engine's thread blocked for a minute; then a
              transaction left open
  Tarantool   SIGTERM, its thread blocked for a minute
  PgBouncer   PAUSE in the middle of a client's transaction (it has no option for a deadline)

Each is given 12 s, then killed. Needs Debian's `tarantool`, `pgbouncer` and `postgresql`; what is
missing is named and left out. See README.md beside this file.
"""

import argparse
import contextlib
import os
import pwd
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import compare

GRACE_SECONDS = 3
PATIENCE_SECONDS = 12
BLOCK_SECONDS = 60
BLOCK_LUA = "function block(seconds) os.execute('sleep ' .. seconds) end\n"
BEGIN, INSERT, CALL = 14, 2, 10


def request(kind, body, stream=None):
    """A frame of IPROTO. Bodies are MessagePack already."""
    header = b"\x00" + bytes([kind]) + b"\x01\x01"
    size = 2
    if stream is not None:
        header, size = header + b"\x0a" + bytes([stream]), 3
    payload = bytes([0x80 | size]) + header + body
    return b"\xce" + len(payload).to_bytes(4, "big") + payload


def call(name, *numbers):
    text = name.encode()
    # bin-like names are short: one byte of length is enough
    return request(CALL, b"\x82\x22\xd9" + bytes([len(text)]) + text + b"\x21"
                   + bytes([0x90 | len(numbers), *numbers]))


def connect(server):
    peer = compare.socket.create_connection(("127.0.0.1", server.port))
    left = 128
    while left:
        left -= len(peer.recv(left))
    return peer


def time_to_stop(server):
    """SIGTERM; seconds until the process is gone, None if it is not."""
    # Popen.wait looks only every 50 ms.
    end = os.pidfd_open(server.process.pid)
    try:
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        ended = select.select([end], [], [], PATIENCE_SECONDS)[0]
        took = time.monotonic() - began
    finally:
        os.close(end)
    if not ended:
        server.process.kill()
    server.process.wait()
    return took if ended else None


def start_vestibule(options, directory):
    port = compare.free_port()
    (directory / "data").mkdir()
    command = [options.vestibule, "serve", "--listen", f"127.0.0.1:{port}", "--data",
               str(directory / "data"), "--debug-procedures", "--shutdown-grace-period",
               f"{GRACE_SECONDS}s"]
    server = compare.Server("vestibule", directory, command, port)
    server.wait()
    return server


def vestibule_blocked(options, directory):
    server = start_vestibule(options, directory)
    with connect(server) as peer:
        peer.sendall(call("vestibule.debug.block", BLOCK_SECONDS))
        time.sleep(0.3)
        return time_to_stop(server)


def vestibule_transaction(options, directory):
    server = start_vestibule(options, directory)
    with connect(server) as peer:
        peer.sendall(request(BEGIN, b"\x80", stream=1))
        peer.recv(1024)
        # A row of the space `_schema`: [key, value]
        peer.sendall(request(INSERT, b"\x82\x10\xcd\x01\x10\x21\x92\xa4mine\x01", stream=1))
        peer.recv(1024)
        return time_to_stop(server)


def tarantool_blocked(options, directory):
    port = compare.free_port()
    script = directory / "init.lua"
    lua = compare.TARANTOOL_LUA.format(port=port, extra="", wal_mode="write")
    script.write_text(BLOCK_LUA + lua)
    server = compare.Server("tarantool", directory, [options.tarantool, str(script)], port)
    server.wait()
    with connect(server) as peer:
        peer.sendall(call("block", BLOCK_SECONDS))
        time.sleep(0.3)
        return time_to_stop(server)


def postgres_directory():
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent if found else None


def as_postgres():
    """Both refuse to run as root."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam("postgres")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def pgbouncer_paused(options, directory):
    who = as_postgres()
    if who:
        os.chmod(directory.parent, 0o755)
        shutil.chown(directory, "postgres", "postgres")
    tools = postgres_directory()
    port, pool_port = compare.free_port(), compare.free_port()
    data = directory / "postgres"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": directory, **who}
    subprocess.run([tools / "initdb", "-A", "trust", "-U", "postgres", "-D", data], check=True,
                   **quiet)
    (directory / "pgbouncer.ini").write_text(
        f"[databases]\npostgres = host=127.0.0.1 port={port}\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {pool_port}\nunix_socket_dir =\n"
        "auth_type = trust\nauth_file = users\npool_mode = transaction\nadmin_users = postgres\n")
    (directory / "users").write_text('"postgres" ""\n')
    with contextlib.ExitStack() as stack:
        def start(command, **more):
            process = subprocess.Popen(command, start_new_session=True, **{**quiet, **more})
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        database = start([tools / "postgres", "-D", data, "-p", str(port), "-k", "", "-h",
                          "127.0.0.1"])
        start([options.pgbouncer, str(directory / "pgbouncer.ini")])
        psql = ["psql", "-h", "127.0.0.1", "-U", "postgres", "-qAt", "-p", str(pool_port)]
        for _ in range(100):
            probe = subprocess.run([*psql, "-c", "select 1", "postgres"], check=False, **quiet)
            if probe.returncode == 0:
                break
            time.sleep(0.1)
        else:
            raise compare.Failure("PostgreSQL behind PgBouncer does not answer")
        client = start([*psql, "postgres"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        client.stdin.write(b"begin; select 42;\n")
        client.stdin.flush()
        client.stdout.readline()
        began = time.monotonic()
        try:
            subprocess.run([*psql, "-c", "PAUSE postgres", "pgbouncer"], check=True,
                           timeout=PATIENCE_SECONDS, **quiet)
            took = time.monotonic() - began
        except subprocess.TimeoutExpired:
            took = None
        # So that it ends without waiting for its clients.
        database.send_signal(signal.SIGQUIT)
        return took


def measurements(options):
    """What can be measured here; names what cannot."""
    found = [("vestibule, engine blocked", vestibule_blocked),
             ("vestibule, transaction open", vestibule_transaction)]
    if shutil.which(options.tarantool):
        found.append(("Tarantool, thread blocked", tarantool_blocked))
    else:
        print("left out: Tarantool is not installed (Debian: tarantool)")
    if shutil.which(options.pgbouncer) and shutil.which("psql") and postgres_directory():
        found.append(("PgBouncer PAUSE, transaction open", pgbouncer_paused))
    else:
        print("left out: PgBouncer needs Debian's pgbouncer and postgresql")
    return found


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vestibule", default="target/release/vestibule", metavar="PATH",
                        help="the binary to measure (default: %(default)s)")
    parser.add_argument("--tarantool", default="tarantool", metavar="PATH")
    parser.add_argument("--pgbouncer", default="pgbouncer", metavar="PATH")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    options = parser.parse_args()
    options.vestibule = os.path.abspath(options.vestibule)
    return options


def work(options):
    machine = compare.hardware()
    print(f"machine   {machine['cpu']}, {machine['cores']} cores, {machine['kernel']}")
    print(f"deadline  {GRACE_SECONDS} s; at most {PATIENCE_SECONDS} s are waited for\n")
    for title, measure in measurements(options):
        times = []
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory(prefix="vestibule-drain-") as top:
                directory = Path(top) / "server"
                directory.mkdir()
                times.append(measure(options, directory))
        ended = [took for took in times if took is not None]
        shown = f"{statistics.median(ended):.3f} s" if ended else "-"
        lost = len(times) - len(ended)
        print(f"{title:<36} ended after {shown:<10} (median of {len(ended)}), "
              f"not ended: {lost} of {len(times)}")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(compare.run(work, parse()))
