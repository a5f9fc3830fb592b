#!/usr/bin/env python3
"""Measures what large values do to whoever shares their connection, side by side.

Contenders: vestibule with chunks and with whole messages, Tarantool, and the crate yamux with the
same payload. They are measured in turn, round by round and each round in another order. The link of
100 Mbit/s is a pair of veth devices in network namespaces, shaped where each end sends, so it needs
root. Needs nothing but the standard library. See README.md beside this file.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import compare

CHUNKED, WHOLE, TARANTOOL, YAMUX = "chunked", "whole", "tarantool", "yamux"
CONTENDERS = [CHUNKED, WHOLE, TARANTOOL, YAMUX]
MEASUREMENTS = ["throughput", "shapes", "loopback", "link", "sparse", "memory"]
SIZES = [1_000_000, 16_000_000, 48_000_000]
SHAPES = ["1x1", "1x64", "16x16", "50x32", "256x4"]
TARANTOOL_LUA = """
box.cfg{{wal_mode = 'none', log_level = 3, memtx_memory = 512 * 1024 * 1024{tuning}}}
box.schema.user.grant('guest', 'super', nil, nil, {{if_not_exists = true}})
box.cfg{{listen = '{address}:{port}'}}
"""
PORT = 3301
PASSWORD = "shared"


class Link:
    """Two network namespaces and a shaped pair of devices between them."""

    def __init__(self, options):
        number = os.getpid()
        self.server, self.client = f"vbs-{number}", f"vbc-{number}"
        self.address = "10.213.77.1"
        try:
            self.make(options.rate)
            for space in (self.server, self.client):
                control_congestion(space, options.congestion)
        except compare.Failure:
            self.remove()
            raise

    def make(self, rate):
        ends_of = [(self.server, "vbs", self.address), (self.client, "vbc", "10.213.77.2")]
        for space, _, _ in ends_of:
            run("ip", "netns", "add", space)
        run("ip", "-n", self.server, "link", "add", "vbs", "type", "veth", "peer", "name", "vbc",
            "netns", self.client)
        for space, device, address in ends_of:
            run("ip", "-n", space, "addr", "add", f"{address}/24", "dev", device)
            run("ip", "-n", space, "link", "set", "lo", "up")
            run("ip", "-n", space, "link", "set", device, "up")
            # A burst of one packet, as a device sends them: more looks like a faster link to TCP.
            run("tc", "-n", space, "qdisc", "add", "dev", device, "root", "tbf", "rate", rate,
                "burst", "2kb", "latency", "100ms")

    def on_server(self, command):
        return ["ip", "netns", "exec", self.server, *command]

    def on_client(self, command):
        return ["ip", "netns", "exec", self.client, *command]

    def remove(self):
        for space in (self.server, self.client):
            subprocess.run(["ip", "netns", "del", space], stderr=subprocess.DEVNULL, check=False)


class Loopback:
    """No link at all; in a network namespace, if how it controls congestion is asked for."""

    address = "127.0.0.1"

    def __init__(self, options):
        self.space = f"vbl-{os.getpid()}" if options.congestion else None
        if self.space:
            try:
                run("ip", "netns", "add", self.space)
                run("ip", "-n", self.space, "link", "set", "lo", "up")
                control_congestion(self.space, options.congestion)
            except compare.Failure:
                self.remove()
                raise

    def on_server(self, command):
        return ["ip", "netns", "exec", self.space, *command] if self.space else command

    def on_client(self, command):
        return self.on_server(command)

    def remove(self):
        if self.space:
            subprocess.run(["ip", "netns", "del", self.space], stderr=subprocess.DEVNULL,
                           check=False)


def control_congestion(space, name):
    """Has TCP in a network namespace control congestion this way, if one is named."""
    if name:
        run("ip", "netns", "exec", space, "sysctl", "-qw",
            f"net.ipv4.tcp_congestion_control={name}")


def run(*command):
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", "") or error
        raise compare.Failure(f"{' '.join(command)}: {reason}") from error


class Servers:
    """The servers of all contenders at one end of a link."""

    def __init__(self, options, link, top):
        self.options, self.link, self.running = options, link, {}
        self.password = Path(top) / "admin.password"
        self.password.touch(0o600)
        self.password.write_text(PASSWORD)
        for name, what in ((CHUNKED, "vestibule"), (TARANTOOL, TARANTOOL), (YAMUX, YAMUX)):
            if name in options.contenders or (name == CHUNKED and WHOLE in options.contenders):
                directory = Path(tempfile.mkdtemp(prefix=f"{what}-", dir=top))
                port = PORT + len(self.running) if link.address != "127.0.0.1" \
                    else compare.free_port()
                self.running[name] = self.start(what, directory, port)
        if CHUNKED in self.running:
            self.running[WHOLE] = self.running[CHUNKED]

    def start(self, what, directory, port):
        options, address = self.options, self.link.address
        if what == "vestibule":
            (directory / "data").mkdir()
            command = [options.vestibule, "serve", "--listen", f"{address}:{port}", "--data",
                       str(directory / "data"), "--journal-sync", "never", *options.serve]
            if address != "127.0.0.1":
                # Guest may do everything on loopback alone: somebody logs in.
                command += ["--guest", "none", "--admin-password-file", str(self.password)]
        elif what == TARANTOOL:
            script = directory / "init.lua"
            script.write_text(TARANTOOL_LUA.format(address=address, port=port,
                                                   tuning=compare.TUNING))
            command = [options.tarantool, str(script)]
        else:
            command = [options.yamux, "serve", f"{address}:{port}"]
        # `ip netns exec` becomes the command, so that its number is the server's.
        server = compare.Server(what, directory, self.link.on_server(command), port)
        self.wait(server, what)
        return server

    def wait(self, server, what):
        """Until it serves: asked from where the client is."""
        looks = "socket.create_connection(peer, 1)" if what == YAMUX else "compare.serves(*peer)"
        probe = "import socket, sys; sys.path.insert(0, sys.argv[1]); import compare; " \
                f"peer = (sys.argv[2], int(sys.argv[3])); sys.exit(0 if {looks} else 1)"
        here = str(Path(__file__).resolve().parent)
        command = [sys.executable, "-c", probe, here, self.link.address, str(server.port)]
        for _ in range(100):
            if server.process.poll() is not None:
                raise compare.Failure(f"{what} ended at once:\n{server.tail()}")
            done = subprocess.run(self.link.on_client(command), stderr=subprocess.DEVNULL,
                                  check=False)
            if done.returncode == 0:
                return
        raise compare.Failure(f"{what} does not serve:\n{server.tail()}")

    def stop(self):
        for server in {id(server): server for server in self.running.values()}.values():
            server.stop()


@contextlib.contextmanager
def ends(options, link):
    """Servers on a link; both are gone at the end in any case."""
    with tempfile.TemporaryDirectory(prefix="vestibule-groups-") as top:
        servers = None
        try:
            servers = Servers(options, link, top)
            yield servers
        finally:
            if servers:
                servers.stop()
            link.remove()


def bench(servers, name, arguments):
    """One run of the generator; None if the contender cannot do it."""
    options, server = servers.options, servers.running[name]
    target = f"{servers.link.address}:{server.port}"
    if name == YAMUX:
        command = [options.yamux, "load", target]
    else:
        command = [options.generator, "bench", "--json", "--addr", target,
                   "--chunks", "on" if name == CHUNKED else "off"]
        if target.startswith("10.") and name != TARANTOOL:
            command += ["--user", "admin", "--password-file", str(servers.password)]
    command += ["--pid", str(server.process.pid), *arguments]
    result = subprocess.run(servers.link.on_client(command), stdout=subprocess.PIPE, text=True,
                            check=False)
    if result.returncode != 0:
        raise compare.Failure(f"{name}: {' '.join(command)} failed")
    run_of = json.loads(result.stdout)
    if run_of["errors"]:
        raise compare.Failure(f"{name}: errors: {run_of['errors_by_code']}")
    return run_of


def rounds(servers, names, arguments, count):
    """The runs of all contenders, interleaved."""
    runs = {name: [] for name in names}
    for turn in range(count):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            runs[name].append(bench(servers, name, arguments))
    return runs


def median(runs, *path):
    values = []
    for value in runs:
        for key in path:
            value = value[key]
        values.append(value)
    return statistics.median(values)


def seconds(time, warmup=0.3):
    return ["--seconds", str(time), "--warmup-seconds", str(warmup)]


def ratio(value, by):
    return f"{value / by:.3f}" if by else "-"


def throughput(options):
    """One busy group, nothing beside it."""
    print("\nthroughput: one busy group, two transfers in flight, loopback, nothing beside it")
    print(f"{'':<16}{'':<11}{'MB/s':>9}{'to whole':>10}{'us/MB':>9}{'to whole':>10}")
    names = [name for name in options.contenders if name != YAMUX]
    every = {}
    with ends(options, Loopback(options)) as servers:
        for direction in options.directions:
            for size in options.sizes:
                arguments = ["--op", "bulk", "--size", str(size), "--direction", direction,
                             "--depth", "2", *seconds(options.seconds)]
                runs = rounds(servers, names, arguments, options.rounds)
                every[f"{direction} {size}"] = runs
                print_throughput(f"{direction} {size / 1e6:g} MB", runs)
    return every


def print_throughput(title, runs):
    rates = {name: median(of, "bytes_per_second") / 1e6 for name, of in runs.items()}
    costs = {name: median(of, "server_cpu_us_per_mb") for name, of in runs.items()}
    for name, of in runs.items():
        # Ratios of pairs: what disturbs a round disturbs both.
        pairs = [(one, other) for one, other in zip(of, runs.get(WHOLE, of))]
        rate = statistics.median(one["bytes_per_second"] / other["bytes_per_second"]
                                 for one, other in pairs)
        cost = statistics.median(one["server_cpu_us_per_mb"] / other["server_cpu_us_per_mb"]
                                 for one, other in pairs)
        print(f"{title:<16}{name:<11}{rates[name]:>9,.0f}{rate:>10.3f}{costs[name]:>9,.0f}"
              f"{cost:>10.3f}")
        title = ""
    sys.stdout.flush()


def shapes(options):
    """Small requests of clients that have asked for chunks, and of those that have not."""
    print("\nshapes: small requests, by clients with chunks and without; rate with to rate without")
    print(f"{'':<16}{'with':>12}{'without':>12}{'ratio':>8}")
    every = {}
    with ends(options, Loopback(options)) as servers:
        for op in ("ping", "replace"):
            for shape in options.shapes:
                connections, depth = shape.split("x")
                arguments = ["--op", op, "--connections", connections, "--depth", depth, "--keys",
                             "10000", *seconds(options.seconds)]
                runs = rounds(servers, [CHUNKED, WHOLE], arguments, options.rounds)
                every[f"{op} {shape}"] = runs
                one, other = median(runs[CHUNKED], "rate"), median(runs[WHOLE], "rate")
                pairs = zip(runs[CHUNKED], runs[WHOLE])
                of_pairs = statistics.median(a["rate"] / b["rate"] for a, b in pairs)
                print(f"{op + ' ' + shape:<16}{one:>12,.0f}{other:>12,.0f}{of_pairs:>8.3f}")
                sys.stdout.flush()
    return every


def print_beside(title, runs):
    for name, of in runs.items():
        moved = median(of, "bytes_per_second") / 1e6
        answered = [run_of for run_of in of if run_of["beside"]["answered"]]
        if answered:
            times = [median(answered, "beside", key) / 1000
                     for key in ("p50_us", "p99_us", "p999_us")]
            told = "".join(f"{t:>11,.2f}" for t in times)
            told += f"  (none answered in {len(of) - len(answered)} of {len(of)} runs)" \
                if len(answered) < len(of) else ""
        else:
            told = f"{'none answered in':>22} {median(of, 'seconds'):.0f} s"
        print(f"{title:<16}{name:<11}{moved:>9,.1f}{told}")
        title = ""
    sys.stdout.flush()


def beside(options, link, time, warmup):
    """Pings beside values at full speed."""
    print(f"{'':<16}{'':<11}{'MB/s':>9}{'p50 ms':>11}{'p99 ms':>11}{'p99.9 ms':>11}")
    every = {}
    with ends(options, link) as servers:
        for direction in options.directions:
            for size in options.sizes:
                arguments = ["--size", str(size), "--direction", direction, "--depth", "2",
                             *seconds(time, warmup)]
                runs = {name: [] for name in options.contenders}
                for turn in range(options.rounds):
                    shift = turn % len(runs)
                    names = list(runs)
                    for name in names[shift:] + names[:shift]:
                        own = [] if name == YAMUX else ["--op", "bulk", "--beside", "ping"]
                        runs[name].append(bench(servers, name, [*own, *arguments]))
                every[f"{direction} {size}"] = runs
                print_beside(f"{direction} {size / 1e6:g} MB", runs)
    return every


def loopback(options):
    print("\nloopback: a ping every millisecond beside values at full speed")
    return beside(options, Loopback(options), options.seconds, 0.3)


def link(options):
    print(f"\nlink of {options.rate}: a ping every millisecond beside values at full speed")
    return beside(options, Link(options), options.link_seconds, 1)


def sparse(options):
    """Twenty busy groups and one that asks for little."""
    print("\nsparse: 20 groups that move 1 MB each, and a small SELECT in a stream of its own"
          " (yamux: a ping)")
    print(f"{'':<16}{'':<11}{'MB/s':>9}{'p50 ms':>11}{'p99 ms':>11}{'p99.9 ms':>11}")
    every = {}
    links = [("loopback", Loopback, options.seconds), ("link", Link, options.link_seconds)]
    for title, make, time in links:
        if title == "link" and not options.has_link:
            continue
        with ends(options, make(options)) as servers:
            runs = {name: [] for name in options.contenders}
            for _ in range(options.rounds):
                for name, of in runs.items():
                    own = [] if name == YAMUX else ["--op", "bulk", "--beside", "select"]
                    arguments = ["--size", "1000000", "--groups", "20", *seconds(time, 1)]
                    of.append(bench(servers, name, [*own, *arguments]))
            every[title] = runs
            print_beside(title, runs)
    return every


def memory(options):
    """What many groups and huge messages cost the server's memory."""
    print("\nmemory: the server's peak above its start, one connection, loopback")
    cases = [("1 x 48 MB", ["--groups", "1", "--size", "48000000", "--depth", "2"]),
             ("1024 x 1 MB", ["--groups", "1024", "--size", "1000000"]),
             ("1024 x 16 MB", ["--groups", "1024", "--size", "16000000"])]
    print(f"{'':<16}" + "".join(f"{name + ' MB':>14}" for name in (CHUNKED, WHOLE)))
    every = {}
    for title, arguments in cases:
        peaks = {}
        for name in (CHUNKED, WHOLE):
            with ends(options, Loopback(options)) as servers:
                pid = servers.running[name].process.pid
                bench(servers, name, ["--op", "bulk", "--size", "1000", *seconds(0.2)])
                before = resident(pid, "VmRSS")
                bench(servers, name, ["--op", "bulk", *arguments, *seconds(options.seconds)])
                peaks[name] = (resident(pid, "VmHWM") - before) / 1e6
        every[title] = peaks
        print(f"{title:<16}" + "".join(f"{peak:>14,.0f}" for peak in peaks.values()))
        sys.stdout.flush()
    return every


def resident(pid, field):
    """Bytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.search(rf"{field}:\s+(\d+) kB", status)[1]) * 1024


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vestibule", default="target/release/vestibule", metavar="PATH",
                        help="the binary to measure (default: %(default)s)")
    parser.add_argument("--generator", metavar="PATH",
                        help="the binary whose `bench` makes the load (default: --vestibule)")
    parser.add_argument("--serve", action="append", default=[], metavar="ARGUMENT",
                        help="an argument more for `vestibule serve`; may be repeated")
    parser.add_argument("--tarantool", default="tarantool", metavar="PATH",
                        help="the Tarantool to compare with (default: the one on the path)")
    parser.add_argument("--yamux", default="target/yamux/release/yamux-peer", metavar="PATH",
                        help="the program of benches/yamux (default: %(default)s)")
    parser.add_argument("--without", action="append", default=[], choices=CONTENDERS,
                        help="leave a contender out; may be repeated")
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, help="may be repeated")
    parser.add_argument("--size", action="append", type=int, dest="sizes", metavar="BYTES",
                        help="may be repeated; default: 1, 16 and 48 MB")
    parser.add_argument("--direction", action="append", dest="directions",
                        choices=["down", "up", "both"], help="may be repeated; default: down, up")
    parser.add_argument("--shape", action="append", type=compare.shape, dest="shapes",
                        metavar="CxD", help="may be repeated; default: " + ", ".join(SHAPES))
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=1.5,
                        help="of a run on loopback; default: %(default)s")
    parser.add_argument("--link-seconds", type=float, default=5,
                        help="of a run over the link; default: %(default)s")
    parser.add_argument("--congestion", action="append", dest="congestions", metavar="NAME",
                        help="measure all in network namespaces in which TCP controls congestion"
                             " this way (root); may be repeated")
    parser.add_argument("--rate", default="100mbit", help="of the link; default: %(default)s")
    parser.add_argument("--json", metavar="FILE", help="write every run there as JSON too")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    options.generator = options.generator or options.vestibule
    options.sizes = options.sizes or SIZES
    options.directions = options.directions or ["down", "up"]
    options.shapes = options.shapes or SHAPES
    options.only = options.only or MEASUREMENTS
    return options


def find(options):
    """Makes the paths of the binaries absolute; what is missing is named and left out."""
    advice = {"vestibule": "`cargo build --release`", "tarantool": "`apt-get install tarantool`",
              "yamux": "`cargo build --release --manifest-path benches/yamux/Cargo.toml"
                       " --target-dir target/yamux`"}
    options.contenders = [name for name in CONTENDERS if name not in options.without]
    for name in ("vestibule", "generator", "tarantool", "yamux"):
        path = shutil.which(getattr(options, name))
        if path:
            setattr(options, name, os.path.abspath(path))
        elif name in (TARANTOOL, YAMUX):
            if name in options.contenders:
                print(f"without {name}: {getattr(options, name)} is missing, {advice[name]}")
                options.contenders.remove(name)
        else:
            raise compare.Failure(f"{getattr(options, name)} is missing: {advice['vestibule']}")
    options.has_link = os.geteuid() == 0 and shutil.which("ip") and shutil.which("tc")
    if not options.has_link:
        print("without link: it needs root, and `ip` and `tc` of iproute2")


def work(options):
    compare.raise_files_max()
    every = {}
    find(options)
    machine = compare.hardware()
    print(f"machine  {machine['cpu']}, {machine['cores']} cores, {machine['kernel']}, tcp "
          f"{machine['congestion_control']}, load average {machine['load_average']:.2f}")
    print(f"version  {compare.first_line([options.vestibule, '--version'])}")
    for options.congestion in options.congestions or [None]:
        runs = every
        if options.congestion:
            print(f"\ncongestion control {options.congestion}")
            runs = every[options.congestion] = {}
        for what in options.only:
            if what != "link" or options.has_link:
                runs[what] = globals()[what](options)
    compare.write_json(options, {"machine": machine, "runs": every})


if __name__ == "__main__":
    sys.exit(compare.run(work, parse()))
