#!/usr/bin/env python3
"""What small requests wait for beside replies of 64 MiB to another client of their user: the part
`bulk` of benches/gateway.py.

  large client, a process of its own ──▶ ┐
                                         ├─▶ nothing, HAProxy or a gateway ─▶ Tarantool
  1,000 small clients, a request each ms ┘

Tarantool and the large client share one core, the small ones and what is before Tarantool another:
a kernel that does not preempt system calls keeps a core with Tarantool while that sends megabytes in
one (up to 16 ms were seen), and small clients there would wait for that before they send anything.

The large one (`benches/beside.py PORT`) asks again as soon as it has all. Small ones ask at fixed
times, whether or not they were answered, and what they wait is counted from these: so a long
wait counts for all that would have been asked meanwhile.
"""

import contextlib
import os
import select
import statistics
import subprocess
import sys
import time

import compare
import upstreams
from upstreams import DIRECT, GATEWAY, HAPROXY

ALONE = "gateway alone"
CLIENTS_MAX = 1000
EVERY_S = 0.001
# Rows as large as they may be by default, and so many that they are 64 MiB.
SPACE, ROWS, VALUE_SIZE = 513, 64, (1 << 20) - 76
FILL = f"""
local space = box.schema.space.create('bench_bulk', {{id = {SPACE}, temporary = true}})
space:create_index('primary')
for key = 1, {ROWS} do space:replace{{key, string.rep('v', {VALUE_SIZE})}} end
"""
REQUESTS = {"ping": upstreams.ping,
            "select": lambda sync: upstreams.select_one(1, sync),
            "replace": lambda sync: upstreams.replace(1, sync)}
OPS = list(REQUESTS)
PARTS = {"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999}


# ---- the large client ------------------------------------------------------------------


def fetch(port):
    """Asks for 64 MiB again and again; prints when each was there, and whether it was no error."""
    client = upstreams.Client(port)
    frame, part = upstreams.select_all(SPACE), bytearray(1 << 20)
    while True:
        client.send(frame)
        head = client.socket.recv(upstreams.HEAD_SIZE, upstreams.WHOLE)
        size = left = int.from_bytes(head[1:], "big")
        while left:
            read = client.socket.recv_into(part, min(left, len(part)))
            if not read:
                sys.exit("the connection has ended")
            left -= read
        print(time.monotonic(), int(size > ROWS * VALUE_SIZE), flush=True)


def two_cores():
    """For what is small, and for what is large; all for both where there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    return ({cores[0]}, {cores[1]}) if len(cores) > 1 else (None, None)


@contextlib.contextmanager
def confined(cores):
    """While this process runs on these cores alone, if there are any."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def fetching(port, cores):
    """While another process fetches; tells the lines that it has printed, when it is over."""
    lines = []
    process = subprocess.Popen([sys.executable, __file__, str(port)], stdout=subprocess.PIPE,
                               text=True, preexec_fn=compare.pinned(cores))
    try:
        # The first one is on the connection upstream of all, by design.
        for _ in range(2):
            if not process.stdout.readline():
                raise compare.Failure("the client for large replies has ended")
        yield lines
    finally:
        process.terminate()
        lines += process.communicate()[0].split("\n")


# ---- the small ones --------------------------------------------------------------------


class Small:
    """Clients that ask one after another, at fixed times."""

    def __init__(self, port, count, stack):
        # Before the clients: `select` takes no descriptor above 1023.
        self._poll = stack.enter_context(select.epoll())
        self._clients = []
        for _ in range(count):
            client = upstreams.Client(port)
            stack.callback(client.close)
            self._clients.append(client)
            self._poll.register(client.socket, select.EPOLLIN)
        self._by_socket = {own.socket.fileno(): own for own in self._clients}
        # When a request was to be sent, by its sync.
        self._asked = {}
        self.times = {op: [] for op in OPS}
        self.errors = 0

    def ask(self, seconds, warmup):
        """Asks for so long, and waits for all replies; when the time that counts begins and ends."""
        start = time.monotonic()
        counts_from, end = start + warmup, start + warmup + seconds
        patience, sent, due = end + upstreams.PATIENCE_S, 0, start
        while due < end or self._asked:
            now = time.monotonic()
            while due < end and due <= now:
                frame = REQUESTS[OPS[sent % len(OPS)]](sent)
                self._asked[sent] = due
                self._clients[sent % len(self._clients)].send(frame)
                sent += 1
                due = start + sent * EVERY_S
            self._read(counts_from, max(due - time.monotonic(), 0) if due < end else 1)
            if now > patience:
                raise compare.Failure("small requests are not answered")
        return counts_from, end

    def _read(self, counts_from, wait):
        # epoll's own wait is one of whole milliseconds.
        select.select([self._poll], [], [], wait)
        for number, _ in self._poll.poll(0):
            for code, frame in self._by_socket[number].codes():
                sync = upstreams.sync_of(frame)
                due = self._asked.pop(sync)
                self.errors += code != 0
                if due >= counts_from:
                    self.times[OPS[sync % len(OPS)]].append(time.monotonic() - due)


def run(options, port, is_alone, large_cores):
    """What the small ones have waited for, and how much the large one had meanwhile."""
    with contextlib.ExitStack() as stack:
        small = Small(port, min(options.clients, CLIENTS_MAX), stack)
        with contextlib.nullcontext([]) if is_alone else fetching(port, large_cores) as lines:
            begin, end = small.ask(options.bulk_seconds, options.warmup)
    found = {op: parts(small.times[op]) for op in OPS}
    replies = [is_whole == "1" for at, is_whole in map(str.split, filter(None, lines))
               if begin <= float(at) < end]
    found["mib_per_second"] = sum(replies) * ROWS / options.bulk_seconds
    found["errors"] = small.errors + replies.count(False)
    return found


def parts(times):
    """The times that so many of them are not above, in milliseconds."""
    times = sorted(times)
    return {name: times[min(int(len(times) * share), len(times) - 1)] * 1e3
            for name, share in PARTS.items()}


# ---- the measurement, and what is told of it -------------------------------------------


def bulk(options):
    small, large = two_cores()
    with upstreams.cell(options, small, upstream_cores=large) as (upstream, running), \
            confined(small):
        upstream.evaluate(FILL)
        servers = {**running, ALONE: running[GATEWAY]}
        names = list(servers)
        runs = {name: [] for name in names}
        for turn in range(options.rounds):
            shift = turn % len(names)
            for name in names[shift:] + names[:shift]:
                runs[name].append(run(options, servers[name].port, name == ALONE, large))
    figures = {"clients": min(options.clients, CLIENTS_MAX), "seconds": options.bulk_seconds,
               "errors": sum(own["errors"] for of_name in runs.values() for own in of_name),
               "contenders": {name: medians(of_name) for name, of_name in runs.items()}}
    for name, own in figures["contenders"].items():
        print(f"bulk     {name}: {own}", flush=True)
    return figures


def medians(runs):
    found = {op: {part: round(statistics.median(own[op][part] for own in runs), 3)
                  for part in PARTS} for op in OPS}
    rate = statistics.median(own["mib_per_second"] for own in runs)
    return {**found, "mib_per_second": round(rate, 1)}


def told(figures):
    """The lines of the page; none if it was not measured."""
    if not figures:
        return []
    contenders = figures["contenders"]
    titles = {DIRECT: "without a proxy", HAPROXY: "HAProxy", GATEWAY: "gateway",
              ALONE: "gateway, without large replies"}
    names = [name for name in titles if name in contenders]
    lines = ["", "### Small requests beside replies of 64 MiB", "",
             "One client has replies of 64 MiB one after another, and of"
             f" {figures['clients']:,} others of its user one asks each millisecond, in turn."
             " What these wait at the median, at the 99th and at the 99.9th percentile, in ms, as"
             f" clients in Python see it; {figures['errors']} errors. Tarantool and the client for"
             " large replies share one core, all others another.", "",
             "| | " + " | ".join(titles[name] for name in names) + " |",
             "|---" * (len(names) + 1) + "|"]
    for op in OPS:
        texts = [", ".join(f"{contenders[name][op][part]:.2f}" for part in PARTS)
                 for name in names]
        lines.append("| " + " | ".join([op, *texts]) + " |")
    rates = [f"{contenders[name]['mib_per_second']:,.0f}" for name in names if name != ALONE]
    return [*lines, "| " + " | ".join(["large replies, MiB/s", *rates, "–"]) + " |"]


if __name__ == "__main__":
    fetch(int(sys.argv[1]))
