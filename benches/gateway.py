#!/usr/bin/env python3
"""Measures a gateway before a Tarantool, beside HAProxy in TCP mode and beside no proxy at all.

  cargo build --release
  benches/gateway.py                  # about 6 minutes; nothing else should run meanwhile
  benches/gateway.py --draw           # tells the figures again that are kept

Contenders are measured in turn, round by round and each round in another order; what is told are
medians, and medians of the ratios of each round. Behind that: what fail-overs take, what clients
are told while the upstream is blocked, while 10,000 calls sleep and while all are gone, how many
connections the upstream has for 10,000 clients, and what small requests wait for beside large
replies. The figures are kept in benches/measured/gateway.json, and the tables of docs/gateway.md
are made of them. Needs nothing but the standard library, Debian's tarantool and haproxy. See
README.md beside this file.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import beside
import compare
import upstreams
from beside import bulk
from picture import MEASURED, write
from upstreams import DIRECT, GATEWAY, HAPROXY, MORE, MORE_REQUESTS

HERE = pathlib.Path(__file__).resolve().parent
FIGURES = MEASURED / "gateway.json"
PAGE = HERE.parent / "docs" / "gateway.md"
BEGIN, END = "<!-- figures: made by benches/gateway.py -->", "<!-- end of figures -->"
OPS = ["ping", "replace", "select"]
SHAPES = ["1x1", "1x64", "16x16", "50x32", "256x4", "512x1"]
CONTENDERS = [DIRECT, HAPROXY, GATEWAY]
PARTS = ["rates", "failover", "gone", "blocked", "sleepers", "clients", "bulk"]
# The operator of the benchmark needs this long to notice that the primary is gone.
NOTICE_S = 0.1


# ---- rates -----------------------------------------------------------------------------


def load(options, op, shape, server):
    """One run of the generator, with the processor time of what it asks."""
    connections, depth = shape.split("x")
    command = [options.vestibule, "bench", "--addr", f"127.0.0.1:{server.port}", "--op", op,
               "--connections", connections, "--depth", depth, "--seconds", str(options.seconds),
               "--warmup-seconds", str(options.warmup), "--keys", str(options.keys), "--json"]
    before = upstreams.processor_time(server.process)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False,
                          preexec_fn=compare.pinned(compare.cores_of(shape)))
    if done.returncode != 0:
        raise compare.Failure(f"{server.name}: {' '.join(command)} failed")
    run = json.loads(done.stdout)
    if run["errors"]:
        raise compare.Failure(f"{server.name}: errors: {run}")
    used = upstreams.processor_time(server.process) - before
    # What is read and written is there before: a row for each key.
    prepared = 0 if op == "ping" else options.keys
    run["cpu_us"] = used * 1e6 / (run["rate"] * (options.seconds + options.warmup) + prepared)
    return run


def rates(options):
    cells = []
    for shape in options.shapes:
        with_more = shape == options.more_shape
        with upstreams.cell(options, compare.cores_of(shape), with_more) as (_, running):
            for op in options.ops:
                # A ping does not go upstream.
                of_op = {name: own for name, own in running.items()
                         if name != MORE or op != "ping"}
                cells.append(rate(options, op, shape, of_op))
                print_cell(cells[-1])
    return cells


def rate(options, op, shape, running):
    names = list(running)
    runs = {name: [] for name in names}
    for turn in range(options.rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            runs[name].append(load(options, op, shape, running[name]))
    kept = {name: {key: round(statistics.median(run[key] for run in of_name), 3)
                   for key in ("rate", "p50_us", "p99_us", "cpu_us")}
            for name, of_name in runs.items()}
    found = {"op": op, "shape": shape, "contenders": kept, "ratios": ratios(runs, GATEWAY)}
    if MORE in runs:
        found["ratios_more"] = ratios(runs, MORE)
    return found


def ratios(runs, ours):
    """Medians of the ratios of the rounds: ours to each other's, of rates, and of what latencies
    are more than without a proxy."""
    def median(key, other):
        pairs = zip(runs[ours], runs[other])
        return round(statistics.median(own[key] / of_other[key] for own, of_other in pairs), 3)

    found = {f"rate_to_{other}": median("rate", other)
             for other in (DIRECT, HAPROXY) if other in runs}
    for name, own_name in ((HAPROXY, HAPROXY), (GATEWAY, ours)):
        if own_name in runs:
            pairs = zip(runs[own_name], runs[DIRECT])
            added = [own["p50_us"] - bare["p50_us"] for own, bare in pairs]
            found[f"added_us_{name}"] = round(statistics.median(added), 2)
    return found


def print_cell(of_cell):
    title = f"{of_cell['op']} {of_cell['shape']}"
    rows = [f"{name} {row['rate']:,.0f}/s, p50 {row['p50_us']:.1f} us, {row['cpu_us']:.2f} us of CPU"
            for name, row in of_cell["contenders"].items()]
    print(f"{title:<16} {'; '.join(rows)}; {of_cell['ratios']}", flush=True)


# ---- what befalls upstreams ------------------------------------------------------------


@contextlib.contextmanager
def three(options):
    """Three Tarantools of which the first takes changes, and a gateway before them."""
    with tempfile.TemporaryDirectory(prefix="vestibule-gateway-") as top, \
            contextlib.ExitStack() as stack:
        all_of_them = {name: upstreams.Tarantool(options, f"{top}/{name}", memory=64)
                       for name in "abc"}
        for name, own in all_of_them.items():
            own.start(read_only=name != "a")
            stack.callback(lambda own=own: own.server.stop())
        gateway = upstreams.start_gateway(options, f"{top}/g", all_of_them)
        stack.callback(gateway.stop)
        yield list(all_of_them.values()), gateway


def failover(options):
    """From when the new one says that it takes changes to the first write that is acknowledged."""
    with three(options) as (instances, gateway):
        primary, other, _ = instances
        writer = upstreams.Writer(gateway.port)
        writer.start()
        killed = []
        for _ in range(options.kills):
            killed.append(upstreams.kill_and_promote(primary, other, writer, NOTICE_S))
            primary, other = other, primary
        writer.end()
        codes = [code for _, code in writer.answers]
        stopped = []
        for _ in range(options.stops):
            stopped.append(upstreams.stop_and_promote(primary, other, gateway.port, NOTICE_S))
            primary, other = other, primary
    figures = {
        "killed_ms": spread(killed), "stopped_ms": spread(stopped), "writes": len(codes),
        "unknown": codes.count(115), "errors": sum(code not in (0, 115) for code in codes),
    }
    print("failover", figures, flush=True)
    return figures


def gone(options):
    """While all are gone: what the gateway does with its processor, beside many clients; and how
    soon they are answered by the first one that takes changes again."""
    with three(options) as (instances, gateway), contextlib.ExitStack() as stack:
        few = min(options.clients, 1000)
        all_of_them = [upstreams.Client(gateway.port) for _ in range(few)]
        for own in all_of_them:
            stack.callback(own.close)
        back = []
        for _ in range(options.stops):
            for own in instances:
                own.kill()
            time.sleep(1.5)
            before, began = upstreams.processor_time(gateway.process), time.monotonic()
            time.sleep(options.blocked_seconds)
            used = upstreams.processor_time(gateway.process) - before
            share = used / (time.monotonic() - began)
            codes = {own.ask(upstreams.select_one(1)) for own in all_of_them}
            instances[1].start(read_only=True)
            time.sleep(0.5)
            instances[1].set_read_only(False)
            back.append(upstreams.answered_after(all_of_them[0]))
            wrong = sum(own.ask(upstreams.select_one(1)) != 0 for own in all_of_them)
            for own in (instances[0], instances[2]):
                own.start(read_only=True)
            instances.append(instances.pop(0))
    figures = {"clients": few, "processor_share": round(share, 4), "codes": sorted(codes),
               "errors": wrong, "back_ms": spread(back)}
    print("gone    ", figures, flush=True)
    return figures


def spread(values):
    return {"times": len(values), "median": round(statistics.median(values), 1),
            "worst": round(max(values), 1)} if values else None


@contextlib.contextmanager
def one(options):
    """A Tarantool, and a gateway before it."""
    with tempfile.TemporaryDirectory(prefix="vestibule-gateway-") as top, \
            contextlib.ExitStack() as stack:
        upstream = upstreams.Tarantool(options, f"{top}/a")
        upstream.start()
        stack.callback(upstream.server.stop)
        gateway = upstreams.start_gateway(options, f"{top}/g", {"a": upstream})
        stack.callback(gateway.stop)
        yield upstream, gateway


def blocked(options):
    """While the upstream's thread computes: what a client is told, and how fast; then what the
    upstream sees of clients that connect, ask and leave one after another."""
    busy = options.blocked_seconds
    with one(options) as (upstream, gateway), contextlib.ExitStack() as stack:
        client = upstreams.Client(gateway.port)
        stack.callback(client.close)
        total = "box.stat.net().CONNECTIONS.total"
        before = upstreams.number_of(upstream, total)
        lua = f"local c = require('clock') local e = c.time() + {busy} while c.time() < e do end"
        blocker = threading.Thread(target=lambda: upstream.evaluate(lua), daemon=True)
        blocker.start()
        end = time.monotonic() + busy
        # Silence is noticed after half a second; before that, the upstream may answer still.
        time.sleep(0.7)
        times, codes, visits = [], set(), 0
        while len(times) < 2 or time.monotonic() < end - busy / 2:
            began = time.perf_counter()
            codes.add(client.ask(upstreams.select_one(1)))
            times.append((time.perf_counter() - began) * 1e6)
        while time.monotonic() < end - 0.2:
            visitor = upstreams.Client(gateway.port)
            codes.add(visitor.ask(upstreams.select_one(1)))
            visitor.close()
            visits += 1
        blocker.join()
        # What asks, blocks and asks again is ours.
        connects = upstreams.number_of(upstream, total) - before - 2
    figures = {"answers": len(times), "codes": sorted(codes),
               "p50_us": round(statistics.median(times), 1),
               "p99_us": round(statistics.quantiles(times, n=100)[98], 1),
               "visits": visits, "connects": connects, "seconds": busy}
    print("blocked ", figures, flush=True)
    return figures


def sleepers(options):
    """What others wait for while calls of many clients sleep."""
    with one(options) as (upstream, gateway), contextlib.ExitStack() as stack:
        sleep = ("while not rawget(_G, 'is_over') do require('fiber').sleep(0.01) end")
        all_of_them = [upstreams.Client(gateway.port) for _ in range(options.clients)]
        for own in all_of_them:
            stack.callback(own.close)
            own.send(upstreams.request(upstreams.EVAL, {0x27: sleep, 0x21: []}))
        client = upstreams.Client(gateway.port)
        stack.callback(client.close)
        figures = {"clients": options.clients, "errors": 0}
        for name, frame in (("ping", upstreams.request(upstreams.PING, {})),
                            ("select", upstreams.select_one(1)),
                            ("replace", upstreams.replace(1))):
            times, end = [], time.monotonic() + options.blocked_seconds / 2
            while len(times) < 2 or time.monotonic() < end:
                began = time.perf_counter()
                figures["errors"] += client.ask(frame) != 0
                times.append((time.perf_counter() - began) * 1e6)
            figures[name] = {"p50_us": round(statistics.median(times), 1),
                             "p99_us": round(statistics.quantiles(times, n=100)[98], 1)}
        upstream.evaluate("rawset(_G, 'is_over', true)")
        figures["errors"] += sum(own.code()[0] != 0 for own in all_of_them)
    print("sleepers", figures, flush=True)
    return figures


def clients(options):
    """How many connections the upstream has for many clients, each of which has asked once."""
    with one(options) as (upstream, gateway):
        all_of_them = [upstreams.Client(gateway.port) for _ in range(options.clients)]
        for own in all_of_them:
            own.send(upstreams.select_one(1))
        wrong = sum(own.code()[0] != 0 for own in all_of_them)
        upstream_has = upstreams.connections_of(upstream)
        for own in all_of_them:
            own.close()
    figures = {"clients": options.clients, "upstream_connections": upstream_has, "errors": wrong,
               "session_threads": compare.session_threads()}
    print("clients ", figures, flush=True)
    return figures


# ---- what is told ----------------------------------------------------------------------


def rows(figures):
    """A gateway's cells: what they are called, their shape, all contenders, our one, its ratios."""
    for own in figures.get("rates", []):
        yield own["op"], own["shape"], own["contenders"], GATEWAY, own["ratios"]
        if "ratios_more" in own:
            name = f"{own['op']}, up to {MORE_REQUESTS} on their way"
            yield name, own["shape"], own["contenders"], MORE, own["ratios_more"]


def table(figures, key, note):
    found = {(name, shape): ratios[key] for name, shape, _, _, ratios in rows(figures)
             if key in ratios}
    if not found:
        return ["HAProxy was not installed."]
    shapes = [shape for shape in SHAPES if any(shape == own for _, own in found)]
    lines = ["| " + " | ".join([note, *shapes]) + " |", "|---" * (len(shapes) + 1) + "|"]
    # Those with more on their way last: they have one shape.
    for name in sorted(dict.fromkeys(name for name, _ in found), key=lambda name: "," in name):
        texts = [f"{found[name, shape]:.2f}" if (name, shape) in found else "–"
                 for shape in shapes]
        lines.append("| " + " | ".join([name, *texts]) + " |")
    return lines


def absolute(figures):
    lines = ["| | shape | direct, requests/s | HAProxy | gateway | added latency by HAProxy, µs"
             " | by the gateway | processor time of a request in the gateway, µs |", "|---" * 8 + "|"]
    for what, shape, found, ours, ratios_of in rows(figures):
        texts = [f"{found[name]['rate']:,.0f}" if name in found else "missing"
                 for name in (DIRECT, HAPROXY, ours)]
        added = [ratios_of.get(f"added_us_{name}") for name in (HAPROXY, GATEWAY)]
        texts += ["–" if value is None else f"{value:.1f}" for value in added]
        texts.append(f"{found[ours]['cpu_us']:.2f}")
        lines.append("| " + " | ".join([what, shape, *texts]) + " |")
    return lines


def note_on_more(figures):
    if not any(ours == MORE for _, _, _, ours, _ in rows(figures)):
        return []
    return [f"*Up to {MORE_REQUESTS} on their way* is a gateway with `--upstream-requests-max"
            f" {MORE_REQUESTS}`, before the same Tarantool, which has its defaults as for all"
            " others: it reads 768 at a time, and leaves the rest in its sockets."
            " [Why less is the default](#why-512).", ""]


def events(figures):
    lines = ["| | |", "|---|---|"]

    def add(what, value):
        lines.append(f"| {what} | {value} |")

    for key, what in (("killed_ms", "killed"), ("stopped_ms", "stopped by SIGSTOP")):
        of_kind = figures.get("failover", {}).get(key)
        if of_kind:
            add(f"the one that took changes is {what}: from when another says that it does to the"
                f" first write that is acknowledged, {of_kind['times']} times",
                f"{of_kind['median']:g} ms, {of_kind['worst']:g} ms at worst")
    if "failover" in figures:
        own = figures["failover"]
        add(f"of {own['writes']:,} writes meanwhile, one after another: told that nobody knows"
            " whether they happened, and other errors", f"{own['unknown']}, {own['errors']}")
    if "blocked" in figures:
        own = figures["blocked"]
        add("while the upstream computes: a client is told so within",
            f"{own['p50_us']:g} µs, {own['p99_us']:g} µs at the 99th percentile, as a client in"
            " Python sees it")
        add(f"connections that the upstream sees come in these {own['seconds']:g} s, in which"
            f" {own['visits']:,} clients come, ask and leave", own["connects"])
    if "gone" in figures:
        own = figures["gone"]
        add(f"while all are gone: the gateway's processor time, beside {own['clients']:,} clients",
            f"{own['processor_share']:.1%} of a core")
        add("from when the first one takes changes again to when the first client is answered,"
            f" {own['back_ms']['times']} times",
            f"{own['back_ms']['median']:g} ms, {own['back_ms']['worst']:g} ms at worst")
    if "sleepers" in figures:
        own = figures["sleepers"]
        times = [f"{name} {own[name]['p50_us']:g} µs, {own[name]['p99_us']:g} µs"
                 for name in ("ping", "select", "replace")]
        add(f"while calls of {own['clients']:,} clients sleep, more than an instance reads: what"
            " another client waits for, at the median and at the 99th percentile",
            "; ".join(times))
    if "clients" in figures:
        own = figures["clients"]
        add(f"connections of the upstream for {own['clients']:,} clients of"
            f" {own['session_threads']} session threads, with that of the probe",
            own["upstream_connections"])
    return lines


def told(figures):
    """The part of the page that is made of figures."""
    if figures is None:
        return "\n".join([BEGIN, "Not measured yet.", END])
    machine, versions = figures["machine"], figures["versions"]
    missing = "".join(f" {name} was missing." for name in figures["missing"])
    return "\n".join([
        BEGIN,
        f"{machine['cpu'] or 'Unknown processor'}, {machine['cores']} cores, {machine['kernel']};"
        f" {', '.join(versions.values())}. Medians of {figures['rounds']} rounds of"
        f" {figures['seconds']:g} s.{missing}", "",
        "### Rate, the gateway's to HAProxy's", "",
        *table(figures, "rate_to_haproxy", "above 1 is faster"), "",
        "### Rate, the gateway's to that without a proxy", "",
        *table(figures, "rate_to_direct", "above 1 is faster"), "",
        "### In figures", "", *absolute(figures), "", *note_on_more(figures),
        "### When something befalls upstreams", "", *events(figures),
        *beside.told(figures.get("bulk")), END])


def measure(options):
    find(options)
    machine = compare.hardware()
    versions = {"vestibule": compare.first_line([options.vestibule, "--version"]),
                "tarantool": compare.first_line([options.tarantool, "--version"])}
    if HAPROXY in options.contenders:
        versions["haproxy"] = compare.first_line([options.haproxy, "-v"]).split(" - ")[0]
    compare.print_head(options, machine, versions)
    figures = {"machine": machine, "versions": versions, "seconds": options.seconds,
               "rounds": options.rounds, "keys": options.keys,
               "missing": [name for name in CONTENDERS if name not in options.contenders]}
    for part in options.only or PARTS:
        figures[part] = globals()[part](options)
    return figures


def find(options):
    """Makes the paths of the binaries absolute; a HAProxy that is missing is named, and left out."""
    options.contenders = list(CONTENDERS)
    for name, advice in (("vestibule", "`cargo build --release`"),
                         ("tarantool", "`apt-get install tarantool`"),
                         ("haproxy", "`apt-get install haproxy`")):
        path = shutil.which(getattr(options, name))
        if path:
            setattr(options, name, os.path.abspath(path))
        elif name == HAPROXY:
            print(f"without haproxy: {options.haproxy} is missing, {advice}")
            options.contenders.remove(HAPROXY)
        else:
            raise compare.Failure(f"{getattr(options, name)} is missing: {advice}")


def main(options):
    compare.raise_files_max()
    if not (options.draw or options.check):
        figures = measure(options)
        if options.json:
            pathlib.Path(options.json).write_text(json.dumps(figures) + "\n", encoding="utf-8")
            return
        FIGURES.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    kept = FIGURES.is_file() and FIGURES.read_text(encoding="utf-8")
    figures = json.loads(kept) if kept else None
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN, 1)
    write({PAGE: before + told(figures) + rest.split(END, 1)[1]}, options.check,
          "benches/gateway.py")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vestibule", default="target/release/vestibule", metavar="PATH")
    parser.add_argument("--tarantool", default="tarantool", metavar="PATH")
    parser.add_argument("--haproxy", default=shutil.which("haproxy") or "/usr/sbin/haproxy",
                        metavar="PATH")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=0.8, help="of a run; default: 0.8")
    parser.add_argument("--warmup", type=float, default=0.2, help="default: %(default)s")
    parser.add_argument("--keys", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--kills", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--stops", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--blocked-seconds", type=float, default=4, help="default: %(default)s")
    parser.add_argument("--clients", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument("--bulk-seconds", type=float, default=4, help="default: %(default)s")
    parser.add_argument("--more-shape", type=compare.shape, default="50x32", metavar="CxD",
                        help=f"of the gateway with {MORE_REQUESTS} requests on their way;"
                             " default: %(default)s")
    parser.add_argument("--only", action="append", choices=PARTS, help="may be repeated")
    parser.add_argument("--only-op", action="append", dest="ops", choices=OPS,
                        help="may be repeated")
    parser.add_argument("--only-shape", action="append", dest="shapes", type=compare.shape,
                        metavar="CxD", help="may be repeated; default: " + ", ".join(SHAPES))
    parser.add_argument("--json", metavar="FILE", help="write the figures there, and nothing else")
    parser.add_argument("--draw", action="store_true", help="measure nothing")
    parser.add_argument("--check", action="store_true",
                        help="write nothing, and fail if the page is not of the figures")
    options = parser.parse_args()
    if (options.only or options.ops or options.shapes) and not options.json:
        parser.error("parts are measured with --json alone: the figures that are kept are whole")
    options.ops, options.shapes = options.ops or OPS, options.shapes or SHAPES
    return options


if __name__ == "__main__":
    sys.exit(compare.run(main, parse()))
