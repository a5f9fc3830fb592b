#!/usr/bin/env python3
"""What rows take in memory, and what definitions cost by their number, beside Tarantool.

  cargo build --release
  benches/scale.py                    # about three minutes; with --json FILE, --only rows
  benches/performance.py --draw       # then: the tables of docs/performance.md

`rows`: a million rows of 24 bytes, {unsigned, unsigned, string of 8 bytes}, with a second,
non-unique index over the second field, are written by `vestibule bench`; told is the growth of the
server's resident memory, over the rows. `definitions`: with 10, 100, 1,000 and 10,000 spaces, how
long each of some requests takes that has to do with definitions, one at a time. Figures are kept in
benches/measured/scale.json. Needs Debian's tarantool.
"""

import argparse
import json
import pathlib
import statistics
import sys
import tempfile
import time

import compare
import connections
import groups
import iproto
from picture import MEASURED

FIGURES = MEASURED / "scale.json"
NAMES = (compare.OURS, compare.TUNED)
# The system's view of spaces, and its index by name.
VSPACE, BY_NAME = 281, 2
TITLES = {
    "space": "a space with its index, made and dropped",
    "grant": "a right, granted and revoked",
    "login": "a login by password",
    "named": "a definition, looked up by its name",
    "all": "all definitions, read",
}


def rows(options, name):
    """Bytes of a row."""
    with tempfile.TemporaryDirectory(prefix="vestibule-scale-") as top:
        server = connections.start(options, name, pathlib.Path(top))
        try:
            server.wait()
            load = ["--op", "select-second", "--seconds", "0.1", "--warmup-seconds", "0"]
            # The space, and whatever a first row brings into being.
            connections.run_bench(options, server, [*load, "--keys", "1"])
            before = groups.resident(server.process.pid, "VmRSS")
            connections.run_bench(options, server, [*load, "--keys", str(options.rows)])
            return (groups.resident(server.process.pid, "VmRSS") - before) / options.rows
        finally:
            server.process.kill()
            server.process.wait()


def timed(count, work):
    """The median of that many times that it takes, in microseconds."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1e6)
    return round(statistics.median(times), 1)


def make_and_drop(peer):
    peer.call("box.schema.space.create", "passing")
    peer.call("box.space.passing:create_index", "primary")
    peer.call("box.space.passing:drop")


def grant_and_revoke(peer):
    peer.call("box.schema.user.grant", "reader", "read", "space", "s0")
    peer.call("box.schema.user.revoke", "reader", "read", "space", "s0")


def definitions(options, name):
    """Times of the requests by the number of spaces."""
    with tempfile.TemporaryDirectory(prefix="vestibule-scale-") as top:
        server = connections.start(options, name, pathlib.Path(top))
        try:
            server.wait()
            peer, found, made = iproto.Peer(server), {}, 0
            peer.call("box.schema.user.create", "reader", {"password": "secret"})
            stranger = iproto.Peer(server)
            login = iproto.login("reader", "secret", iproto.salt_of(stranger.greeting))
            for number in options.definitions:
                made = make_spaces(peer, made, number)
                count = options.times
                named = iproto.select(VSPACE, BY_NAME, [f"s{number // 2}"], 1)
                every = iproto.select(VSPACE, 0, [], 1_000_000)
                found[str(number)] = {
                    "space": timed(count, lambda: make_and_drop(peer)),
                    "grant": timed(count, lambda: grant_and_revoke(peer)),
                    "login": timed(count, lambda: stranger.done(login, "login")),
                    "named": timed(count, lambda: peer.done(named, "a look")),
                    "all": timed(max(1, count // 5), lambda: peer.done(every, "a read")),
                }
            return found
        finally:
            server.process.kill()
            server.process.wait()


def make_spaces(peer, made, number):
    # All spaces before all indexes: requests that are under way together are in no order.
    peer.call_all([("box.schema.space.create", f"s{at}") for at in range(made, number)])
    peer.call_all([(f"box.space.s{at}:create_index", "primary") for at in range(made, number)])
    return number


def tables(figures):
    """What docs/performance.md tells of the figures."""
    lines = []
    if "rows" in figures:
        ours, theirs = (figures["rows"][name] for name in NAMES)
        lines += ["### Memory of a row", "",
                  f"{figures['row_count']:,} rows of 24 bytes in two indexes, the second not"
                  " unique: growth of the server's resident memory, over the rows."
                  f" {ours:.0f} bytes, Tarantool {theirs:.0f}: {ours / theirs:.2f}."]
    if "definitions" in figures:
        lines += [""] if lines else []
        numbers = list(figures["definitions"][NAMES[0]])
        lines += ["### What definitions cost by their number", "",
                  "Microseconds, one request at a time, ours / Tarantool's, with so many spaces"
                  " that have an index each.", "",
                  "| | " + " | ".join(f"{int(number):,}" for number in numbers) + " |",
                  "|---" * (len(numbers) + 1) + "|"]
        for what, title in TITLES.items():
            cells = [" / ".join(f"{figures['definitions'][name][number][what]:,.0f}"
                                for name in NAMES) for number in numbers]
            lines.append("| " + " | ".join([title, *cells]) + " |")
    return lines


def work(options):
    options.generator, options.no_vestibule, options.no_tarantool = options.vestibule, False, False
    compare.find(options)
    figures = {"machine": compare.hardware(), "row_count": options.rows,
               "versions": compare.both_versions(options)}
    for what, measure in (("rows", rows), ("definitions", definitions)):
        if what in (options.only or ("rows", "definitions")):
            figures[what] = {name: measure(options, name) for name in NAMES}
    compare.keep(options, figures, tables(figures), FIGURES)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vestibule", default="target/release/vestibule", metavar="PATH")
    parser.add_argument("--tarantool", default="tarantool", metavar="PATH")
    parser.add_argument("--only", action="append", choices=("rows", "definitions"))
    parser.add_argument("--rows", type=int, default=1_000_000, help="default: %(default)s")
    parser.add_argument("--definitions", type=int, nargs="+", default=[10, 100, 1000, 10_000],
                        metavar="N", help="rising; default: 10 100 1000 10000")
    parser.add_argument("--times", type=int, default=25, help="of each request; default: 25")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, and not where they"
                                                       " are kept")
    options = parser.parse_args()
    if options.only and not options.json:
        parser.error("--only is for --json: a part of the figures is not kept")
    return options


if __name__ == "__main__":
    sys.exit(compare.run(work, parse()))
