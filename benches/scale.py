#!/usr/bin/env python3
"""What rows take in memory, and what threads, connections and definitions cost by their number.

  cargo build --release
  benches/scale.py                    # about five minutes; with --json FILE, --only rows
  benches/performance.py --draw       # then: the tables of docs/performance.md

`rows`: a million rows of 24 bytes, {unsigned, unsigned, string of 8 bytes}, with a second,
non-unique index over the second field, are written by `vestibule bench`; told is the growth of the
server's resident memory, over the rows. `threads`: rates with one session thread and more, in turn,
and the processor time that a request takes of session threads and of Tx, of which there is one: how
many requests that leaves for machines with more cores, if they shared nothing else. `connections`:
the server's processor time for a request, with so many connections that have one in flight each.
`definitions`: with 10, 100, 1,000 and 10,000 spaces, how long each of some requests takes that has
to do with definitions, one at a time. All but `threads` beside Tarantool. Figures are kept in
benches/measured/scale.json. Needs Debian's tarantool.
"""

import argparse
import contextlib
import os
import pathlib
import statistics
import sys
import tempfile
import time
import unittest.mock

import compare
import connections
import groups
import iproto
from picture import MEASURED

FIGURES = MEASURED / "scale.json"
NAMES = (compare.OURS, compare.TUNED)
# The system's view of spaces, and its index by name.
VSPACE, BY_NAME = 281, 2
PARTS = ("rows", "threads", "connections", "definitions")
THREAD_OPS, THREAD_SHAPE = ("select", "mixed", "replace"), (50, 32)
CONNECTION_OPS = ("ping", "select")
# Rows where few requests are sent, so that writing them is little beside these.
FEW_KEYS = 1000
# Cores of machines that are told of on paper.
CORES = (8, 32)
# Seconds of a very short run; microseconds that are none.
SHORT, LITTLE = 0.05, 0.02
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


def load(options, server, op, shape, seconds, keys=None, *more):
    """Asks a server; what `vestibule bench` tells."""
    return connections.run_bench(options, server, [
        "--op", op, "--connections", str(shape[0]), "--depth", str(shape[1]), "--seconds",
        str(seconds), "--warmup-seconds", "0", "--keys", str(keys or options.keys), *more])


def thread_times(pid):
    """Seconds of processor time of each thread."""
    times = {}
    for stat in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"):
        # It may have ended.
        with contextlib.suppress(OSError):
            times[stat.parent.name] = int(stat.read_text(encoding="utf-8").split()[0]) / 1e9
    return times


def each(options, server, op, shape, keys=None):
    """Microseconds of processor time of a request, by thread: of a run, less those of a very short
    one. The rows are there: to write them would be a part of either."""
    runs = []
    for seconds in (SHORT, SHORT + options.seconds):
        before = thread_times(server.process.pid)
        answered = load(options, server, op, shape, seconds, keys, "--filled")["answered"]
        after = thread_times(server.process.pid)
        times = {thread: time - before.get(thread, 0.0) for thread, time in after.items()}
        runs.append((answered, times))
    (few, short), (many, long) = runs
    return {thread: max(0.0, time - short.get(thread, 0.0)) / max(1, many - few) * 1e6
            for thread, time in long.items()}


def threads(options):
    """Rates by the number of session threads, and what a request takes of which thread."""
    with contextlib.ExitStack() as end:
        top, running = end.enter_context(tempfile.TemporaryDirectory(prefix="vestibule-scale-")), {}
        for number in options.threads:
            directory = pathlib.Path(top) / str(number)
            directory.mkdir()
            with unittest.mock.patch.dict(os.environ, VESTIBULE_SESSION_THREADS=str(number)):
                server = connections.start(options, compare.OURS, directory)
            end.callback(server.stop)
            server.wait()
            # The space and its rows.
            load(options, server, "replace", (8, 32), 0.1)
            running[number] = server
        return {op: threads_of(options, running, op) for op in THREAD_OPS}


def threads_of(options, running, op):
    rates = {number: [] for number in running}
    for turn in range(options.rounds):
        order = list(running)
        for number in order[turn % len(order):] + order[:turn % len(order)]:
            rates[number].append(load(options, running[number], op, THREAD_SHAPE,
                                      options.seconds)["rate"])
    server = running[options.threads[0]]
    # Pings are answered by session threads alone.
    pinging = each(options, server, "ping", THREAD_SHAPE)
    of_sessions = {thread for thread, time in pinging.items() if time > sum(pinging.values()) / 10}
    asking = each(options, server, op, THREAD_SHAPE)
    sessions = sum(time for thread, time in asking.items() if thread in of_sessions)
    return {"rates": {str(number): round(statistics.median(own)) for number, own in rates.items()},
            "session_us": round(sessions, 3),
            "tx_us": round(sum(asking.values()) - sessions, 3)}


def on_paper(own, cores):
    """How many requests a second the busiest threads have time for."""
    of_sessions, of_tx = (max(own[key], LITTLE) for key in ("session_us", "tx_us"))
    return min((cores - 1) / of_sessions, 1 / of_tx) * 1e6


def connection_costs(options, name):
    """The server's processor time for a request in microseconds, by connections."""
    with tempfile.TemporaryDirectory(prefix="vestibule-scale-") as top:
        server = connections.start(options, name, pathlib.Path(top))
        try:
            server.wait()
            load(options, server, "replace", (8, 32), 0.1, FEW_KEYS)
            costs = {op: {} for op in CONNECTION_OPS}
            # The system is busy for a while with many that were closed.
            for number in options.connections:
                for op in CONNECTION_OPS:
                    runs = [sum(each(options, server, op, (number, 1), FEW_KEYS).values())
                            for _ in range(options.rounds)]
                    costs[op][str(number)] = round(statistics.median(runs), 2)
            return costs
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


def table(titles, rows):
    """A table of which each row begins with what it is about."""
    return ["| " + " | ".join(row) + " |" for row in (titles, ["---"] * len(titles), *rows)]


def tables(figures):
    """What docs/performance.md tells of the figures."""
    told = {"rows": table_of_rows, "threads": table_of_threads,
            "connections": table_of_connections, "definitions": table_of_definitions}
    lines = []
    for part in PARTS:
        if part in figures:
            lines += [*([""] if lines else []), *told[part](figures)]
    return lines


def table_of_rows(figures):
    ours, theirs = (figures["rows"][name] for name in NAMES)
    return ["### Memory of a row", "",
            f"{figures['row_count']:,} rows of 24 bytes in two indexes, the second not unique:"
            " growth of the server's resident memory, over the rows."
            f" {ours:.0f} bytes, Tarantool {theirs:.0f}: {ours / theirs:.2f}."]


def table_of_threads(figures):
    found = figures["threads"]
    numbers = list(found[THREAD_OPS[0]]["rates"])
    titles = ["", *(f"{number} session thread{'s' * (number != '1')}" for number in numbers),
              "session thread, µs", "Tx, µs", *(f"on paper, {cores} cores" for cores in CORES)]
    rows = [[op, *(f"{own['rates'][number]:,}" for number in numbers), f"{own['session_us']:.2f}",
             f"{own['tx_us']:.2f}", *(f"{on_paper(own, cores):,.0f}" for cores in CORES)]
            for op, own in found.items()]
    return ["### Session threads", "",
            f"Requests per second, {THREAD_SHAPE[0]}x{THREAD_SHAPE[1]}, on the"
            f" {figures['machine']['cores']} cores of the machine, which the generator needs as"
            " well; the processor time of a request on session threads and on Tx, of which there"
            " is one; and how many a second these have time for on more cores, one of them Tx's,"
            " if they shared nothing else.", "", *table(titles, rows)]


def table_of_connections(figures):
    numbers = list(figures["connections"][NAMES[0]][CONNECTION_OPS[0]])
    titles = ["", *(f"{int(number):,}" for number in numbers)]
    rows = [[op, *(" / ".join(f"{figures['connections'][name][op][number]:.1f}" for name in NAMES)
                   for number in numbers)] for op in CONNECTION_OPS]
    return ["### What a request costs by the number of connections", "",
            "Processor time of the server in microseconds, ours / Tarantool's, with one request in"
            " flight on each of so many connections.", "", *table(titles, rows)]


def table_of_definitions(figures):
    numbers = list(figures["definitions"][NAMES[0]])
    rows = [[title, *(" / ".join(f"{figures['definitions'][name][number][what]:,.0f}"
                                 for name in NAMES) for number in numbers)]
            for what, title in TITLES.items()]
    return ["### What definitions cost by their number", "",
            "Microseconds, one request at a time, ours / Tarantool's, with so many spaces that"
            " have an index each.", "",
            *table(["", *(f"{int(number):,}" for number in numbers)], rows)]


def work(options):
    options.generator, options.no_vestibule, options.no_tarantool = options.vestibule, False, False
    compare.find(options)
    figures = {"machine": compare.hardware(), "row_count": options.rows,
               "versions": compare.both_versions(options)}
    compared = {"rows": rows, "connections": connection_costs, "definitions": definitions}
    for what in options.only or PARTS:
        if what == "threads":
            figures[what] = threads(options)
        else:
            figures[what] = {name: compared[what](options, name) for name in NAMES}
    compare.keep(options, figures, tables(figures), FIGURES)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vestibule", default="target/release/vestibule", metavar="PATH")
    parser.add_argument("--tarantool", default="tarantool", metavar="PATH")
    parser.add_argument("--only", action="append", choices=PARTS)
    parser.add_argument("--rows", type=int, default=1_000_000, help="default: %(default)s")
    parser.add_argument("--definitions", type=int, nargs="+", default=[10, 100, 1000, 10_000],
                        metavar="N", help="rising; default: 10 100 1000 10000")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], metavar="N",
                        help="session threads; default: 1 2")
    parser.add_argument("--keys", type=int, default=100_000, metavar="N",
                        help="rows that are asked for by threads; default: 100000")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 100, 1000, 10_000],
                        metavar="N", help="default: 1 100 1000 10000")
    parser.add_argument("--rounds", type=int, default=5,
                        help="of threads and connections; default: 5")
    parser.add_argument("--seconds", type=float, default=0.5, help="of a run; default: 0.5")
    parser.add_argument("--times", type=int, default=25, help="of each request; default: 25")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, and not where they"
                                                       " are kept")
    options = parser.parse_args()
    if options.only and not options.json:
        parser.error("--only is for --json: a part of the figures is not kept")
    return options


if __name__ == "__main__":
    sys.exit(compare.run(work, parse()))
