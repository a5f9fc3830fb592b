#!/usr/bin/env python3
"""Measures connections: accepting, idle connections, changes of state and storms.

vestibule and Tarantool are measured in turn in the same run, with fresh servers for every measurement.
Needs nothing but the standard library. See README.md beside this file.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import compare

# What is measured: title, arguments of `bench`, whether Tarantool can do it at all, the figures.
MEASUREMENTS = {
    "accept": ("{n} connections at once", ["--mode", "accept"], True,
               ["greeting_p50_ms", "greeting_p99_ms", "last_greeting_ms", "server_cpu_ms"]),
    "idle": ("{n} idle connections", ["--mode", "idle"], True,
             ["greeted_bytes_each", "pinged_bytes_each"]),
    "broadcast": ("a change of state to {n} connections", ["--mode", "broadcast"], False,
                  ["answer_ms", "reached_ms", "reached_max_ms", "watchers_reached_ms",
                   "event_p50_ms", "last_event_ms"]),
    "storm": ("12 clients every 100 ms, the server's thread is blocked", ["--mode", "storm"], True,
              ["visits", "greeted", "answered", "refused", "slowest_answer_ms", "descriptors_before",
               "descriptors_most", "descriptors_after"]),
}
BLOCK_LUA = "function block(seconds) os.execute('sleep ' .. seconds) end\n"


def start(options, name, directory):
    if name == compare.OURS:
        port = compare.free_port()
        (directory / "data").mkdir()
        command = [options.vestibule, "serve", "--listen", f"127.0.0.1:{port}", "--data",
                   str(directory / "data"), "--journal-sync", "never", "--debug-procedures"]
        return compare.Server(name, directory, command, port)
    port = compare.free_port()
    script = directory / "init.lua"
    text = compare.TARANTOOL_LUA.format(port=port, extra=compare.TUNING, wal_mode="write")
    script.write_text(BLOCK_LUA + text)
    return compare.Server(name, directory, [options.tarantool, str(script)], port)


def run_bench(options, server, arguments):
    command = [options.vestibule, "bench", "--json", "--addr", f"127.0.0.1:{server.port}",
               "--pid", str(server.process.pid), *arguments]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode != 0:
        raise compare.Failure(f"{server.name}: {' '.join(arguments)} failed")
    return json.loads(result.stdout)


def measure(options, what, name):
    """One measurement on a fresh server."""
    _, arguments, _, _ = MEASUREMENTS[what]
    with tempfile.TemporaryDirectory(prefix="vestibule-connections-") as top:
        server = start(options, name, Path(top))
        try:
            server.wait()
            if what == "storm":
                procedure = "vestibule.debug.block" if name == compare.OURS else "block"
                arguments = [*arguments, "--connections", "12", "--seconds", str(options.seconds),
                             "--patience", "0.05", "--block", procedure]
                return run_bench(options, server, arguments)
            arguments = [*arguments, "--connections", str(options.connections), "--seconds",
                         str(options.seconds)]
            return run_bench(options, server, arguments)
        finally:
            server.process.kill()
            server.process.wait()


def show(options, what):
    title, _, tarantool_too, figures = MEASUREMENTS[what]
    names = [compare.OURS]
    if tarantool_too and not options.no_tarantool:
        names.append(compare.TUNED)
    runs = {name: [] for name in names}
    for turn in range(options.rounds):
        for name in names if turn % 2 == 0 else reversed(names):
            runs[name].append(measure(options, what, name))
    print(f"\n{what}: {title.format(n=options.connections)}")
    print(f"{'':<22}" + "".join(f"{name:>14}{'lowest':>12}{'highest':>12}" for name in names))
    for figure in figures:
        row = f"{figure:<22}"
        for name in names:
            values = [run[figure] for run in runs[name]]
            row += f"{statistics.median(values):>14,.2f}{min(values):>12,.2f}{max(values):>12,.2f}"
        print(row)
    sys.stdout.flush()
    return runs


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vestibule", default="target/release/vestibule", metavar="PATH",
                        help="the binary to measure (default: %(default)s)")
    parser.add_argument("--tarantool", default="tarantool", metavar="PATH",
                        help="the Tarantool to compare with (default: the one on the path)")
    parser.add_argument("--no-tarantool", action="store_true", help="do without Tarantool")
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, help="may be repeated")
    parser.add_argument("--connections", type=int, default=5000, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=5, help="of storm and broadcast")
    parser.add_argument("--json", metavar="FILE", help="write every run there as JSON too")
    return parser.parse_args()


def work(options):
    compare.raise_files_max()
    for name in ["vestibule"] if options.no_tarantool else ["vestibule", "tarantool"]:
        path = shutil.which(getattr(options, name))
        if path is None:
            raise compare.Failure(f"{getattr(options, name)} is missing; see --help")
        setattr(options, name, str(Path(path).resolve()))
    machine = compare.hardware()
    print(f"machine   {machine['cpu']}, {machine['cores']} cores, {machine['kernel']}")
    print(f"rounds    {options.rounds}, medians with the lowest and the highest")
    results = {what: show(options, what) for what in options.only or MEASUREMENTS}
    compare.write_json(options, {"machine": machine, "results": results})


if __name__ == "__main__":
    sys.exit(compare.run(work, parse()))
