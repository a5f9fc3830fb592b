#!/usr/bin/env python3
"""What a request costs, in instructions and allocations: counted by valgrind, not timed.

  benches/cost.py             # counts, and tells what is more or less than what is kept
  benches/cost.py --keep      # counts, and keeps it; what was not counted stays as it was
  benches/cost.py --check     # counts, and fails if a request has become dearer (tests/run)

A request comes through a pipe in memory to its session, by its worker to Tx, and through the
embedded engine with its journal, or by its links to an upstream in memory that answers all the same
(`gateway …`), all on one thread (benches/cost.rs), by a clock that stands still: two runs count
nearly the same, whatever else the machine does. The cost of a request is the difference of a short run and a
longer one, divided by the requests that the longer one has more. Timers that fire in one run and
not in the other are seen: who seems dearer is counted up to three times, and the least counts.
Debian's `valgrind` is needed.

The counts are those of one compiler. With another one they are compared as well, but only what is
a quarter dearer fails.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import compare
from picture import MEASURED

KEPT = MEASURED / "cost.json"
# What a request is called here, and what the program calls it.
SMALL = {op: ("engine", op) for op in compare.OPS if op != compare.FSYNC}
SMALL |= {f"gateway {op}": ("gateway", op) for op in ("replace", "select")}
# Values of 1 MB, whole and in chunks.
LARGE = {op: ("engine", op)
         for op in ("download", "download-chunks", "upload", "upload-chunks")}
OPS = SMALL | LARGE
# Requests that are sent at a time, and how many are sent in the two runs.
DEPTHS, RUNS = (1, 16), (2048, 6144)
LARGE_DEPTHS, LARGE_RUNS = (1,), (16, 80)
TOLERANCE, TOLERANCE_OF_OTHERS = 0.04, 0.25
CALLGRIND = ("--tool=callgrind", "--callgrind-out-file=/dev/null")
DHAT = ("--tool=dhat", "--dhat-out-file=/dev/null")


def build():
    """Builds the program; its path."""
    print("+ cargo bench --bench cost --no-run", flush=True)
    result = subprocess.run(
        ["cargo", "bench", "--bench", "cost", "--no-run", "--message-format=json"],
        stdout=subprocess.PIPE, text=True, check=True)
    for line in result.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "cost":
            return message["executable"]
    raise compare.Failure("cargo told no program")


def total(tool, pattern, program, *arguments):
    """What the tool has counted at the end of a run."""
    command = ["valgrind", *tool, program, *map(str, arguments)]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            check=False)
    found = re.search(pattern, result.stdout)
    if result.returncode != 0 or not found:
        raise compare.Failure(f"{' '.join(command)}:\n{result.stdout[-2000:]}")
    return int(found[1].replace(",", ""))


def each(tool, pattern, program, op, depth):
    runs = LARGE_RUNS if op in LARGE else RUNS
    short, long = (total(tool, pattern, program, *OPS[op], depth, requests) for requests in runs)
    return (long - short) / (runs[1] - runs[0])


def count(program, op, depth):
    return {"instructions": round(each(CALLGRIND, r"Collected : (\d+)", program, op, depth)),
            "allocations": round(each(DHAT, r"Total: +[\d,]+ bytes in ([\d,]+) blocks", program, op,
                                      depth), 2)}


def count_all(program, ops, own, tolerance):
    """Costs by operation and depth; `own` are those to compare with."""
    costs = {}
    for op in ops:
        for depth in LARGE_DEPTHS if op in LARGE else DEPTHS:
            name = f"{op} x{depth}"
            cost = count(program, op, depth)
            for _ in range(2):
                if not is_dearer(cost, own.get(name), tolerance):
                    break
                again = count(program, op, depth)
                cost = {key: min(cost[key], again[key]) for key in cost}
            costs[name] = cost
    return costs


def is_dearer(cost, own, tolerance):
    # Replies come in more or fewer pieces: what is less than one in five requests is no difference,
    # nor is what is a small part of many allocations (a value of 1 MB in pieces: 10.61 to 10.94).
    return (own is None or cost["instructions"] > own["instructions"] * (1 + tolerance)
            or cost["allocations"] > own["allocations"] + max(0.2, tolerance * own["allocations"]))


def judge(costs, kept, tolerance):
    """Prints costs beside those that are kept; what has become dearer."""
    dearer = []
    print(f"{'':<20}{'instructions':>14}{'kept':>10}{'':>8}{'allocations':>13}{'kept':>8}")
    for name, cost in costs.items():
        own = kept.get(name)
        if own is None:
            print(f"{name:<20}{cost['instructions']:>14,}{'-':>10}{'':>8}{cost['allocations']:>13}")
            dearer.append(f"{name} is not kept")
            continue
        ratio = cost["instructions"] / own["instructions"]
        print(f"{name:<20}{cost['instructions']:>14,}{own['instructions']:>10,}{ratio:>8.3f}"
              f"{cost['allocations']:>13}{own['allocations']:>8}")
        if is_dearer(cost, own, tolerance):
            dearer.append(f"{name} takes {ratio:.3f} of the instructions that are kept, and"
                          f" {cost['allocations']} allocations where it took {own['allocations']}")
    return dearer


def work(options):
    if shutil.which("valgrind") is None:
        raise compare.Failure("valgrind is missing: `apt-get install valgrind`")
    os.chdir(pathlib.Path(__file__).resolve().parent.parent)
    compiler = compare.first_line(["rustc", "--version"])
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else {}
    own, its_compiler = kept.get("costs", {}), kept.get("compiler", "nobody")
    if its_compiler != compiler:
        print(f"kept by {its_compiler}, counted by {compiler}")
    tolerance = TOLERANCE if its_compiler == compiler else TOLERANCE_OF_OTHERS
    program = options.program or build()
    costs = count_all(program, options.only_op or OPS, own, tolerance)
    dearer = judge(costs, own, tolerance)
    if options.keep:
        # What was not counted stays as it is, if it is of the same compiler.
        rest = own if its_compiler == compiler else {}
        figures = {"compiler": compiler, "costs": {**rest, **costs}}
        KEPT.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    elif options.check and dearer:
        raise compare.Failure("; ".join(dearer) + ". If that has to be so: benches/cost.py --keep,"
                              " and say why in the commit")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only-op", action="append", choices=OPS, help="may be repeated")
    parser.add_argument("--program", metavar="PATH", help="benches/cost.rs as it is built already")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--keep", action="store_true", help="keep what was counted")
    what.add_argument("--check", action="store_true", help="fail if a request has become dearer")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(compare.run(work, parse()))
