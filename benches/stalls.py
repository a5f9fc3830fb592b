#!/usr/bin/env python3
"""How long a ping and a write wait while the server has much to do, beside Tarantool.

  cargo build --release
  benches/stalls.py                   # about a minute
  benches/performance.py --draw       # then: the tables of docs/performance.md

Two clients, each a process of its own, send a ping and a REPLACE of one row every millisecond,
answered or not, so that a long wait counts for all that were sent meanwhile. What is refused, or
lost with its connection, is counted apart, and is no answer. Beside them the server does nothing,
stores rows at full speed, makes a checkpoint, sends 100 MB to one client, builds an index over
five million rows, makes and drops spaces among 10,000, is killed and started again, and drops a
space of five million rows. Told is how many answers came within which time, and the longest gap between two
answers. Figures are kept in benches/measured/stalls.json.
With fewer than four cores, clients and servers are in each other's way: look at what they do beside
nothing. Needs Debian's tarantool.
"""

import argparse
import collections
import contextlib
import multiprocessing
import pathlib
import select
import sys
import tempfile
import time

import compare
import connections
import iproto
import scale
from picture import MEASURED
from upstreams import CODE_AT

FIGURES = MEASURED / "stalls.json"
NAMES = (compare.OURS, compare.TUNED)
EVERY, BEFORE, AFTER, PATIENCE = 0.001, 0.2, 0.3, 60.0
# Upper ends of the histogram's bars, in seconds; the last one has none.
WITHIN = (0.001, 0.002, 0.005, 0.02, 0.1)
PROBES = ("ping", "write")
# Numbers that both servers give to the first spaces that are made.
PROBE_SPACE, WIDE_SPACE = 512, 513
WIDE_ROW, PAGE_ROWS = 1000, 16_000
# Rows that are stored again and again at full speed.
FEW_KEYS = 1000
TITLES = {
    "nothing": "nothing else",
    "writes": "rows are stored at full speed",
    "checkpoint": "a checkpoint is made",
    "scan": "a client reads {megabytes} MB",
    "index": "an index is built",
    "definitions": "spaces are made and dropped among {definitions:,}",
    "recovery": "the server is killed and started",
    "drop": "a space is dropped",
}


class Watch:
    """What becomes of requests that are sent at their times."""

    def __init__(self, request, server):
        self.request, self.server = request, server
        self.socket, self.due, self.input = None, collections.deque(), b""
        # Of those that are due, how many were sent: all, unless nobody listens.
        self.sent = 0
        self.counts, self.longest, self.last = [0] * (len(WITHIN) + 1), 0.0, None
        self.refused = 0
        self.connect()

    def connect(self):
        """Connects, if somebody listens."""
        with contextlib.suppress(OSError, compare.Failure):
            self.socket = iproto.Peer(self.server).socket

    def lose(self):
        """The connection is gone, and what was sent by it is not answered any more."""
        self.refused += self.sent
        for _ in range(self.sent):
            self.due.popleft()
        self.socket, self.input, self.sent = None, b"", 0

    def run(self, ends, told):
        """Sends until the end is near, and waits for what is not answered."""
        told.send("ready")
        began, made = time.monotonic(), 0
        self.last = began
        while (going := not ends.is_set()) or self.due:
            now = time.monotonic()
            if self.due and now - self.due[0] > PATIENCE:
                break
            number = max(0, int((now - began) / EVERY) + 1 - made) if going else 0
            self.due.extend(began + (made + at) * EVERY for at in range(number))
            made += number
            wait = max(0.0, began + made * EVERY - time.monotonic()) if going else 0.1
            try:
                self.exchange(wait)
            except OSError:
                self.lose()
        # What was not answered to the end is a gap as well.
        self.longest = max(self.longest, time.monotonic() - self.last - 0.1)
        told.send({"within": self.counts, "longest_gap_ms": round(self.longest * 1e3, 2),
                   "refused": self.refused, "unanswered": len(self.due)})

    def exchange(self, wait):
        """Sends what is due, and takes what comes until then."""
        if self.socket is None:
            self.connect()
        if self.socket is None:
            return time.sleep(min(wait, EVERY))
        late, self.sent = len(self.due) - self.sent, len(self.due)
        if late:
            self.socket.sendall(self.request * late)
        if select.select([self.socket], [], [], wait)[0]:
            self.take()

    def take(self):
        part = self.socket.recv(1 << 16)
        if not part:
            raise ConnectionError("closed")
        self.input += part
        now = time.monotonic()
        while len(self.input) >= 5:
            size = 5 + int.from_bytes(self.input[1:5], "big")
            if len(self.input) < size:
                return
            code = int.from_bytes(self.input[CODE_AT:CODE_AT + 4], "big")
            self.input = self.input[size:]
            took, self.sent = now - self.due.popleft(), self.sent - 1
            if code != 0:
                self.refused += 1
                continue
            self.counts[sum(took > end for end in WITHIN)] += 1
            self.longest, self.last = max(self.longest, now - self.last), now


def watched(server, work):
    """Does some work beside both clients; what they have seen, and how long it took."""
    requests = {"ping": iproto.ping(), "write": iproto.replace(PROBE_SPACE, [1, "a row"])}
    ends, running = multiprocessing.Event(), {}
    for name, request in requests.items():
        told, tells = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.Process(
            target=lambda request=request, tells=tells: Watch(request, server).run(ends, tells))
        process.start()
        running[name] = (process, told)
    for _, told in running.values():
        told.recv()
    time.sleep(BEFORE)
    began = time.monotonic()
    work()
    took = time.monotonic() - began
    time.sleep(AFTER)
    ends.set()
    seen = {name: told.recv() for name, (_, told) in running.items()}
    for process, _ in running.values():
        process.join()
    return {"seconds": round(took, 3), **seen}


def prepare(options, server):
    peer = iproto.Peer(server)
    for name in ("probe", "wide"):
        peer.call("box.schema.space.create", name)
        peer.call(f"box.space.{name}:create_index", "primary")
    count = options.megabytes * 1_000_000 // WIDE_ROW
    for start in range(0, count, 500):
        some = range(start, min(start + 500, count))
        peer.socket.sendall(b"".join(iproto.replace(WIDE_SPACE, [key, "x" * WIDE_ROW])
                                     for key in some))
        for _ in some:
            if code := peer.receive()[0]:
                raise compare.Failure(f"a row is refused: {code}")
    # The space `bench`, with its rows.
    bench(options, server, 0.1, options.rows)
    return peer


def bench(options, server, seconds, keys):
    connections.run_bench(options, server, [
        "--op", "replace", "--connections", "8", "--depth", "32", "--warmup-seconds", "0",
        "--seconds", str(seconds), "--keys", str(keys)])


def scan(options, peer):
    """Reads all wide rows, in pages."""
    left, key = options.megabytes * 1_000_000 // WIDE_ROW, 0
    while left > 0:
        page = iproto.select(WIDE_SPACE, 0, [key], PAGE_ROWS, iproto.FROM)
        peer.done(page, "a page")
        left, key = left - PAGE_ROWS, key + PAGE_ROWS


def change_definitions(options, peer):
    """Makes and drops spaces, one request at a time."""
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        scale.make_and_drop(peer)


def restart(server):
    """Kills the server, starts it again, and waits until it serves."""
    server.again()
    server.wait()


def measure(options, name):
    """What was seen beside each work, on one server."""
    with tempfile.TemporaryDirectory(prefix="vestibule-stalls-") as top:
        server = connections.start(options, name, pathlib.Path(top))
        try:
            server.wait()
            peer = prepare(options, server)
            second = {"parts": [{"field": 2, "type": "unsigned"}], "unique": False}
            works = {
                "nothing": lambda: time.sleep(options.seconds),
                "writes": lambda: bench(options, server, options.seconds, FEW_KEYS),
                "checkpoint": lambda: peer.call("box.snapshot"),
                "scan": lambda: scan(options, peer),
                "index": lambda: peer.call("box.space.bench:create_index", "second", second),
                "definitions": lambda: change_definitions(options, peer),
                "recovery": lambda: restart(server),
                "drop": lambda: iproto.Peer(server).call("box.space.bench:drop"),
            }
            seen = {}
            for what, work in works.items():
                if what == "definitions":
                    scale.make_spaces(peer, 0, options.definitions)
                seen[what] = watched(server, work)
            return seen
        finally:
            server.process.kill()
            server.process.wait()


def tables(figures):
    """What docs/performance.md tells of the figures."""
    ends = [f"≤ {end * 1e3:g} ms" for end in WITHIN] + [f"> {WITHIN[-1] * 1e3:g} ms"]
    lines = ["### Waits beside other work", "",
             f"A ping and a write every millisecond, beside work on {figures['rows']:,} rows: how"
             " many were answered within which time, and the longest gap between two answers.", "",
             "| beside | | | it took, s | " + " | ".join(ends)
             + " | refused or lost | longest gap, ms |",
             "|---" * (6 + len(ends)) + "|"]
    for what, title in TITLES.items():
        for probe in PROBES:
            for name, who in zip(NAMES, ("ours", "Tarantool")):
                seen = figures["servers"][name][what]
                counts = [f"{count:,}" for count in seen[probe]["within"]]
                beside = title.format(**figures)
                lines.append("| " + " | ".join([beside, probe, who, f"{seen['seconds']:g}", *counts,
                                                f"{seen[probe]['refused']:,}",
                                                f"{seen[probe]['longest_gap_ms']:g}"]) + " |")
    return lines


def work(options):
    options.generator, options.no_vestibule, options.no_tarantool = options.vestibule, False, False
    compare.find(options)
    figures = {"machine": compare.hardware(), "rows": options.rows,
               "megabytes": options.megabytes, "definitions": options.definitions,
               "versions": compare.both_versions(options),
               "servers": {name: measure(options, name) for name in NAMES}}
    compare.keep(options, figures, tables(figures), FIGURES)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vestibule", default="target/release/vestibule", metavar="PATH")
    parser.add_argument("--tarantool", default="tarantool", metavar="PATH")
    parser.add_argument("--rows", type=int, default=5_000_000, help="default: %(default)s")
    parser.add_argument("--megabytes", type=int, default=100, help="that are read; default: 100")
    parser.add_argument("--definitions", type=int, default=10_000,
                        help="spaces beside those that are made and dropped; default: 10000")
    parser.add_argument("--seconds", type=float, default=3.0,
                        help="of nothing, and of rows at full speed; default: 3")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, and not where they"
                                                       " are kept")
    return parser.parse_args()


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    sys.exit(compare.run(work, parse()))
