#!/usr/bin/env python3
"""Compares vestibule with Tarantool and with the floor, side by side in one run.

Every cell (an operation and a shape) gets fresh servers with empty data. Its contenders are
measured in turn, round by round and each round in another order, so that a noisy moment of the
machine hits all of them. Needs nothing but the standard library. See README.md beside this file.
"""

import argparse
import contextlib
import json
import os
import platform
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

OPS = ["ping", "replace", "select", "update", "upsert", "range", "mixed", "replace-second",
       "select-second", "replace-fsync"]
# Each acknowledged row is on the disk, on both sides.
FSYNC = "replace-fsync"
SHAPES = ["1x1", "1x64", "16x16", "50x32", "256x4"]
OURS, FLOOR = "vestibule", "floor"
TUNED, DEFAULT = "tarantool", "tarantool defaults"
START_SECONDS = 20
# Runs in which nothing is answered, before that is a failure.
TRIES = 5
STOP_SECONDS = 5

# Rights first, then the port: nobody can connect to a server that is not ready.
TARANTOOL_LUA = """
box.cfg{{wal_mode = '{wal_mode}', log_level = 3, memtx_memory = 1024 * 1024 * 1024{extra}}}
box.schema.user.grant('guest', 'super', nil, nil, {{if_not_exists = true}})
box.cfg{{listen = '127.0.0.1:{port}'}}
"""
TUNING = ", net_msg_max = 20000, readahead = 1048576"


# SELECT of one row of _vspace, and what a server answers that is loading.
LOOK = bytes.fromhex("ce00000014 8200010101 8610cd011911001201130014022090")
LOADING = 0x8000 + 116
GREETING_SIZE = 128


class Failure(Exception):
    """Something that ends the comparison with a message."""


class Server:
    """A server process on a free port of the loopback interface."""

    def __init__(self, name, directory, command, port, cores=None):
        self.name = name
        self.port = port
        self.log = directory / "log"
        self._command, self._cores = command, cores
        # Spaces whose rows an earlier run has written.
        self.filled = set()
        self.start()

    def start(self):
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C comes to us alone, and we stop it by its id.
            self.process = subprocess.Popen(
                self._command, cwd=self.log.parent, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=pinned(self._cores))

    def again(self):
        """Kills it, and starts it with what it has on the disk."""
        self.process.kill()
        self.process.wait()
        self.start()

    def wait(self):
        """Waits until it serves: a greeting may come before that."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                code = self.process.returncode
                raise Failure(f"{self.name} ended at once with code {code}:\n{self.tail()}")
            with contextlib.suppress(OSError):
                if serves("127.0.0.1", self.port):
                    return
            time.sleep(0.05)
        raise Failure(f"{self.name} did not serve within {START_SECONDS} s:\n{self.tail()}")

    def tail(self):
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join("  " + line for line in lines[-10:])

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def serves(host, port):
    """Whether a SELECT is answered, by whatever but that the server is loading."""
    with socket.create_connection((host, port), 1) as peer:
        peer.sendall(LOOK)
        answer = b""
        while len(answer) < GREETING_SIZE + 12:
            part = peer.recv(65536)
            if not part:
                return False
            answer += part
    # Behind the length: a map that begins with the code, in four bytes.
    code = answer[GREETING_SIZE + 8:GREETING_SIZE + 12]
    return answer.startswith(b"Tarantool ") and int.from_bytes(code, "big") != LOADING


def pinned(cores):
    """What keeps a new process on these cores; none if it may use all."""
    return cores and (lambda: os.sched_setaffinity(0, cores))


def cores_of(shape):
    """With one request in flight, one core for both sides: else the time that the kernel takes to
    wake a thread on another core is all that is measured."""
    return {min(os.sched_getaffinity(0))} if shape == "1x1" else None


def session_threads():
    """How many vestibule has here by its defaults (actors/src/config.rs)."""
    return min(max(len(os.sched_getaffinity(0)) - 1, 1), 256)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_vestibule(options, directory, op, shape):
    port = free_port()
    sync = "turn" if op == FSYNC else "never"
    command = [options.vestibule, "serve", "--listen", f"127.0.0.1:{port}",
               "--data", str(directory / "data"), "--journal-sync", sync]
    (directory / "data").mkdir()
    return Server(OURS, directory, command, port, cores_of(shape))


def start_tarantool(options, directory, name, op, shape):
    port = free_port()
    script = directory / "init.lua"
    script.write_text(TARANTOOL_LUA.format(
        port=port, extra=TUNING if name == TUNED else "",
        wal_mode="fsync" if op == FSYNC else "write"))
    return Server(name, directory, [options.tarantool, str(script)], port, cores_of(shape))


@contextlib.contextmanager
def servers(options, op, shape):
    """All servers of a cell, by name; stopped and their data removed in any case."""
    with tempfile.TemporaryDirectory(prefix="vestibule-compare-") as top:
        running = {}
        try:
            for name in contenders(options):
                if name == FLOOR:
                    continue
                directory = Path(top) / name.replace(" ", "-")
                directory.mkdir()
                if name == OURS:
                    running[name] = start_vestibule(options, directory, op, shape)
                else:
                    running[name] = start_tarantool(options, directory, name, op, shape)
            for server in running.values():
                server.wait()
            yield running
        finally:
            # A second Ctrl-C must not leave servers behind.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            for server in running.values():
                server.stop()
            heed_signals()


def contenders(options):
    names = [] if options.no_vestibule else [OURS]
    names += [] if options.no_floor else [FLOOR]
    return names if options.no_tarantool else names + [TUNED, DEFAULT]


def measure(options, op, shape, server):
    """One run of the generator; None if it failed."""
    connections, depth = shape.split("x")
    target = ["--floor"] if server is None else ["--addr", f"127.0.0.1:{server.port}"]
    sent = "replace" if op == FSYNC else op
    command = [options.generator, "bench", *target, "--op", sent, "--connections", connections,
               "--depth", depth, "--seconds", str(options.seconds),
               "--warmup-seconds", str(options.warmup), "--keys", str(options.keys), "--json"]
    space = "second" if op.endswith("-second") else "first"
    if server is not None and space in server.filled:
        command.append("--filled")
    for _ in range(TRIES):
        # The standard error is ours too, so that the reason of a failure is seen at once.
        result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False,
                                preexec_fn=pinned(cores_of(shape)))
        if result.returncode != 0:
            break
        if server is not None and op != "ping":
            server.filled.add(space)
        run = json.loads(result.stdout)
        # A short run on a busy machine may be over before anything is answered.
        if run["answered"] or run["errors"]:
            return run
    who = FLOOR if server is None else server.name
    print(f"  the run against {who} failed", file=sys.stderr)
    return None


def run_cells(options):
    """The cells, one by one as they are measured."""
    wanted = [(op, own) for op in options.only_op or OPS for own in options.only_shape or SHAPES]
    if options.shared:
        with servers(options, *wanted[0]) as running:
            yield from (run_cell(options, op, own, running) for op, own in wanted)
        return
    for op, own in wanted:
        with servers(options, op, own) as running:
            cell = run_cell(options, op, own, running)
        yield cell


def run_cell(options, op, shape, running):
    names = contenders(options)
    runs = {name: [] for name in names}
    for turn in range(options.rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            run = measure(options, op, shape, running.get(name))
            if run is not None:
                runs[name].append(run)
    return summary(op, shape, runs)


def summary(op, shape, runs):
    """Medians and ratios of a cell."""
    cell = {"op": op, "shape": shape, "contenders": {}, "ratios": {}}
    for name, of_name in runs.items():
        if not of_name:
            continue
        rates = [run["rate"] for run in of_name]
        cell["contenders"][name] = {
            "rate": statistics.median(rates),
            "rate_min": min(rates),
            "rate_max": max(rates),
            "p50_us": statistics.median(run["p50_us"] for run in of_name),
            "p99_us": statistics.median(run["p99_us"] for run in of_name),
            "generator_cpu": statistics.median(run["generator_cpu"] or 0 for run in of_name),
            "errors": sum(run["errors"] for run in of_name),
            "runs": of_name,
        }
    found = cell["contenders"]
    ours, floor = found.get(OURS), found.get(FLOOR)
    rivals = [found[name] for name in (TUNED, DEFAULT) if name in found]
    ratios = cell["ratios"]
    if ours and floor:
        ratios["rate_to_floor"] = divide(ours["rate"], floor["rate"])
    if ours and rivals:
        ratios["rate_to_tarantool"] = divide(ours["rate"], max(r["rate"] for r in rivals))
        ratios["p99_to_tarantool"] = divide(ours["p99_us"], min(r["p99_us"] for r in rivals))
    if rivals and floor:
        ratios["tarantool_to_floor"] = divide(max(r["rate"] for r in rivals), floor["rate"])
    return cell


def divide(value, by):
    return value / by if by else None


def print_cell(cell):
    title = f"{cell['op']} {cell['shape']}"
    print(f"\n{title:<20} {'rate/s':>11} {'lowest':>11} {'highest':>11}"
          f" {'p50 us':>9} {'p99 us':>9} {'generator':>9} {'errors':>7}")
    for name, row in cell["contenders"].items():
        print(f"  {name:<18} {row['rate']:>11,.0f} {row['rate_min']:>11,.0f}"
              f" {row['rate_max']:>11,.0f} {row['p50_us']:>9.1f} {row['p99_us']:>9.1f}"
              f" {row['generator_cpu']:>8.0%} {row['errors']:>8}")
    texts = {"rate_to_tarantool": "vestibule / best Tarantool",
             "rate_to_floor": "vestibule / floor",
             "p99_to_tarantool": "p99: vestibule / best Tarantool",
             "tarantool_to_floor": "best Tarantool / floor"}
    shown = [f"{text} {cell['ratios'][key]:.2f}" for key, text in texts.items()
             if cell["ratios"].get(key) is not None]
    if shown:
        print("  " + "   ".join(shown))
    sys.stdout.flush()


def print_ratios(cells):
    """The ratios of all cells in one table."""
    print(f"\n{'ratios':<20} {'rate to best':>14} {'rate':>9} {'p99 to best':>12}")
    print(f"{'':<20} {'Tarantool':>14} {'to floor':>9} {'Tarantool':>12}")
    for cell in cells:
        ratios = cell["ratios"]
        texts = [f"{ratios[key]:.2f}" if ratios.get(key) is not None else "-"
                 for key in ("rate_to_tarantool", "rate_to_floor", "p99_to_tarantool")]
        title = f"{cell['op']} {cell['shape']}"
        print(f"  {title:<18} {texts[0]:>14} {texts[1]:>9} {texts[2]:>12}")


def first_line(command):
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return (result.stdout.splitlines() or ["unknown"])[0]


def read(path):
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def hardware():
    models = [line.split(":", 1)[1].strip() for line in read("/proc/cpuinfo").splitlines()
              if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": f"{platform.system()} {platform.release()}",
        "idle_driver": read("/sys/devices/system/cpu/cpuidle/current_driver"),
        "congestion_control": read("/proc/sys/net/ipv4/tcp_congestion_control"),
        "load_average": os.getloadavg()[0],
    }


def both_versions(options):
    """What the vestibule and the Tarantool that are measured say of themselves."""
    return [first_line([getattr(options, own), "--version"]) for own in ("vestibule", "tarantool")]


def keep(options, figures, lines, file):
    """Prints what the documentation tells of figures, and writes these to where they are kept: to
    `file`, unless --json says another one."""
    print("\n".join(lines))
    kept = Path(options.json) if options.json else file
    kept.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def print_head(options, machine, versions):
    print(f"machine   {machine['cpu']}, {machine['cores']} cores, {machine['kernel']}, "
          f"idle driver {machine['idle_driver'] or 'unknown'}, "
          f"tcp {machine['congestion_control'] or 'unknown'}")
    for name, version in versions.items():
        print(f"{name:<9} {version}")
    print(f"each run  {options.seconds} s after {options.warmup} s of warm-up, "
          f"{options.rounds} rounds, {options.keys} keys; medians are shown")
    if machine["load_average"] > 0.5:
        print(f"warning   the machine is not idle: load average {machine['load_average']:.2f}")
    sys.stdout.flush()


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vestibule", default="target/release/vestibule", metavar="PATH",
                        help="the binary to measure (default: %(default)s)")
    parser.add_argument("--generator", metavar="PATH",
                        help="the binary whose `bench` makes the load (default: --vestibule)")
    parser.add_argument("--tarantool", default="tarantool", metavar="PATH",
                        help="the Tarantool to compare with (default: the one on the path)")
    parser.add_argument("--no-tarantool", action="store_true", help="do without Tarantool")
    parser.add_argument("--no-vestibule", action="store_true",
                        help="measure the others only, to learn about the machine")
    parser.add_argument("--no-floor", action="store_true", help="do without the floor")
    parser.add_argument("--shared", action="store_true",
                        help="one set of servers for all cells, whose rows are written once; not"
                             " for replace-fsync and 1x1, which have servers of their own kind")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=3.0, help="of a run; default: 3")
    parser.add_argument("--warmup", type=float, default=0.5, metavar="SECONDS",
                        help="before each run; default: 0.5")
    parser.add_argument("--keys", type=int, default=100_000, help="default: %(default)s")
    parser.add_argument("--only-op", action="append", choices=OPS,
                        help="may be repeated; default: all")
    parser.add_argument("--only-shape", action="append", type=shape, metavar="CxD",
                        help="connections x depth, may be repeated; default: " + ", ".join(SHAPES))
    parser.add_argument("--json", metavar="FILE", help="write everything there as JSON too")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    if options.shared and (FSYNC in (options.only_op or OPS)
                           or "1x1" in (options.only_shape or SHAPES)):
        parser.error(f"--shared is neither for {FSYNC} nor for 1x1")
    options.generator = options.generator or options.vestibule
    return options


def shape(text):
    connections, _, depth = text.partition("x")
    if not (connections.isdigit() and depth.isdigit() and int(connections) and int(depth)):
        raise argparse.ArgumentTypeError(f"{text} is not like 16x16")
    return f"{int(connections)}x{int(depth)}"


def find(options):
    """Makes the paths of the binaries absolute, or says what is missing."""
    wanted = [("generator", "build it with `cargo build --release`")]
    if not options.no_vestibule:
        wanted.append(("vestibule", "build it with `cargo build --release`"))
    if not options.no_tarantool:
        wanted.append(("tarantool", "install it (Debian: `apt-get install tarantool`), or "
                                    "compare without it: --no-tarantool"))
    for name, advice in wanted:
        path = shutil.which(getattr(options, name))
        if path is None:
            raise Failure(f"{getattr(options, name)} is missing: {advice}")
        setattr(options, name, os.path.abspath(path))


def interrupt(_signal, _frame):
    raise KeyboardInterrupt


def heed_signals():
    """Also when started in the background of a shell, which has SIGINT ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)


def raise_files_max():
    """Many connections are opened."""
    _, files_max = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))


def write_json(options, everything):
    if options.json:
        Path(options.json).write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")


def run(work, options):
    """Does the work of a bench; returns the exit code of its command."""
    heed_signals()
    try:
        return work(options) or 0
    except (Failure, subprocess.CalledProcessError) as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130


def compare(options):
    raise_files_max()
    find(options)
    machine = hardware()
    versions = {}
    if not options.no_vestibule:
        versions["vestibule"] = first_line([options.vestibule, "--version"])
    if not options.no_tarantool:
        versions["tarantool"] = first_line([options.tarantool, "--version"])
    print_head(options, machine, versions)
    cells = []
    for cell in run_cells(options):
        cells.append(cell)
        print_cell(cell)
    print_ratios(cells)
    write_json(options, {"machine": machine, "versions": versions, "seconds": options.seconds,
                         "warmup": options.warmup, "rounds": options.rounds,
                         "session_threads": session_threads(),
                         "keys": options.keys, "cells": cells})
    complete = all(len(row["runs"]) == options.rounds for cell in cells
                   for row in cell["contenders"].values())
    return 0 if complete and all(set(cell["contenders"]) == set(contenders(options))
                                 for cell in cells) else 1


if __name__ == "__main__":
    sys.exit(run(compare, parse()))
