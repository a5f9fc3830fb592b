#!/usr/bin/env python3
"""Where the time of a request goes: instructions by part of the server, and calls of the system.

  cargo build --release
  benches/where.py                    # a minute or two, whatever else the machine does
  benches/performance.py --draw       # then: the tables of docs/performance.md

Instructions are those of benches/cost.py, 16 requests at a time, told apart by the functions that
they are spent in: what is inlined counts where it is inlined. The calls are those of a server of
its own, counted by `strace` while `vestibule bench` asks it. Figures are kept in
benches/measured/where.json. Needs Debian's valgrind and strace.
"""

import argparse
import collections
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import compare
import connections
import cost
from picture import MEASURED

FIGURES = MEASURED / "where.json"
SHAPES = ("1x1", "16x16")
# Parts by the beginnings of what their functions are called; the first that fits counts.
PARTS = (
    ("the client of the benchmark", ("vestibule_actors::testing", "vestibule_bench", "cost::")),
    ("protocol", ("vestibule_wire",)),
    ("Tx", ("vestibule_actors::tx",)),
    ("sessions", ("vestibule_actors",)),
    ("trees", ("vestibule_engine::store::tree",)),
    ("journal", ("vestibule_engine::durability", "crc32c")),
    ("engine, the rest", ("vestibule_engine",)),
    ("actix, tokio", ("actix", "tokio", "futures")),
    ("memory", ("malloc", "_int_malloc", "free", "_int_free", "realloc", "_int_realloc", "calloc",
                "malloc_consolidate", "unlink_chunk", "__mem", "__rust_alloc", "alloc::raw_vec")),
)
REST = "standard library, C library"
OPS = ("ping", "replace", "select", "update", "upsert", "range", "select-second")


def part_of(function):
    # `<a::B as c::D>::e` is a's.
    plain = function.lstrip("<&").removeprefix("mut ")
    for part, beginnings in PARTS:
        if plain.startswith(beginnings):
            return part
    # Containers and closures of the standard library that are about a type of ours.
    for part, beginnings in PARTS[:7]:
        if any(own in function for own in beginnings):
            return part
    return REST


def by_part(program, op, requests):
    """Instructions of a run by part."""
    with tempfile.TemporaryDirectory(prefix="vestibule-where-") as top:
        out = pathlib.Path(top) / "out"
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", program,
                   "engine", op, "16", str(requests)]
        subprocess.run(command, stderr=subprocess.DEVNULL, check=True)
        return read_callgrind(out.read_text(encoding="utf-8", errors="replace"))


def read_callgrind(text):
    """Instructions by part, of what callgrind has written."""
    names, parts, part, is_call = {}, collections.Counter(), REST, False
    for line in text.splitlines():
        if line.startswith("fn="):
            number, _, name = line[3:].partition(" ")
            if name:
                names[number] = name
            part = part_of(names[number])
        elif line.startswith("cfn="):
            # The first line that has a function's name may be one that tells that it is called.
            number, _, name = line[4:].partition(" ")
            if name:
                names[number] = name
        elif line.startswith("calls="):
            is_call = True
        elif line[:1].isdigit() or line[:1] in ("+", "-", "*"):
            # What the called function costs stands on the line after its call.
            if not is_call:
                parts[part] += int(line.split()[1])
            is_call = False
    return parts


def instructions(program):
    found = {}
    for op in OPS:
        short, long = (by_part(program, op, count) for count in cost.RUNS)
        more = cost.RUNS[1] - cost.RUNS[0]
        found[op] = {part: round((long[part] - short[part]) / more) for part in long}
    return found


def calls_of(options, op, shape):
    """Calls of the system for each request, by their names."""
    connections_count, depth = shape.split("x")
    with tempfile.TemporaryDirectory(prefix="vestibule-where-") as top:
        server = connections.start(options, compare.OURS, pathlib.Path(top))
        try:
            server.wait()
            load = ["--op", op, "--connections", connections_count, "--depth", depth,
                    "--keys", "100", "--warmup-seconds", "0"]
            # The space and its rows.
            connections.run_bench(options, server, [*load, "--seconds", "0.1"])
            out = pathlib.Path(top) / "strace"
            tracer = subprocess.Popen(["strace", "-c", "-f", "-o", str(out), "-p",
                                       str(server.process.pid)], stderr=subprocess.DEVNULL)
            wait_until_traced(server.process.pid)
            seen = connections.run_bench(options, server, [*load, "--seconds",
                                                           str(options.seconds)])
            tracer.send_signal(signal.SIGINT)
            tracer.wait()
            return {name: round(count / seen["answered"], 3)
                    for name, count in read_strace(out.read_text(encoding="utf-8")).items()
                    if count / seen["answered"] >= 0.002}
        finally:
            server.process.kill()
            server.process.wait()


def wait_until_traced(pid):
    """Until each thread has its tracer."""
    while not all("TracerPid:\t0" not in status.read_text(encoding="utf-8")
                  for status in pathlib.Path(f"/proc/{pid}/task").glob("*/status")):
        time.sleep(0.01)


def read_strace(text):
    """How often which call, of the table that strace has written."""
    rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", text, re.MULTILINE)
    return {name: int(count) for count, name in rows if name != "total"}


def tables(figures):
    """What docs/performance.md tells of the figures."""
    parts = [part for part, _ in PARTS] + [REST]
    lines = ["### Where the time goes", "",
             "Instructions of a request, 16 at a time, by what they are spent in"
             f" (`benches/where.py`; {figures['compiler']}). The kernel's are not among them.", "",
             "| | " + " | ".join(OPS) + " |", "|---" * (len(OPS) + 1) + "|"]
    for part in parts:
        cells = [f"{figures['instructions'][op].get(part, 0):,}" for op in OPS]
        lines.append("| " + " | ".join([part, *cells]) + " |")
    sums = [f"{sum(figures['instructions'][op].values()):,}" for op in OPS]
    lines += ["| **together** | " + " | ".join(sums) + " |", "",
              "Calls of the system for each request, by `strace`, which slows the server down: at"
              " more than one in flight, more requests share a call than usual.", "",
              "| | shape | all | the most frequent |", "|---" * 4 + "|"]
    for op, of_op in figures["calls"].items():
        for shape, calls in of_op.items():
            most = sorted(calls.items(), key=lambda own: -own[1])[:5]
            text = ", ".join(f"{name} {count:.2f}" for name, count in most)
            lines.append(f"| {op} | {shape} | {sum(calls.values()):.2f} | {text} |")
    return lines


def work(options):
    for tool in ("valgrind", "strace"):
        if shutil.which(tool) is None:
            raise compare.Failure(f"{tool} is missing: `apt-get install {tool}`")
    options.generator, options.no_vestibule, options.no_tarantool = options.vestibule, False, True
    compare.find(options)
    figures = {"compiler": compare.first_line(["rustc", "--version"])}
    if "calls" in options.only:
        figures["calls"] = {op: {shape: calls_of(options, op, shape) for shape in SHAPES}
                            for op in OPS}
    if "instructions" in options.only:
        os.chdir(pathlib.Path(__file__).resolve().parent.parent)
        figures["instructions"] = instructions(options.program or cost.build())
    if len(options.only) == 2:
        print("\n".join(tables(figures)))
    kept = pathlib.Path(options.json) if options.json else FIGURES
    kept.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vestibule", default="target/release/vestibule", metavar="PATH")
    parser.add_argument("--program", metavar="PATH", help="benches/cost.rs as it is built already")
    parser.add_argument("--only", nargs=1, default=["calls", "instructions"],
                        choices=("calls", "instructions"), help="with --json")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a run; default: 1")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, and not where they"
                                                       " are kept")
    options = parser.parse_args()
    if len(options.only) == 1 and not options.json:
        parser.error("--only is for --json: a part of the figures is not kept")
    return options


if __name__ == "__main__":
    sys.exit(compare.run(work, parse()))
