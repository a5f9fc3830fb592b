#!/usr/bin/env python3
"""Measures what a storm of TLS handshakes does to a client beside it, and to memory.

Clients come by TLS, each with a whole handshake, ping once and leave; one that came in plain pings
all the time. Its latency is told without the storm and beside it, in pairs that alternate, and the
server's memory before, in and after the storm. The generators share the machine with the server.
Needs nothing but the standard library. See README.md beside this file.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import compare

CERTIFICATES = Path(__file__).resolve().parent.parent / "client/tests/certificates"
# How long memory is waited for when the storm is over.
SETTLE_S = 3
FIGURES = ["p50_us", "p99_us", "storm_p50_us", "storm_p99_us", "handshakes_each_s",
           "rss_before_kib", "rss_storm_kib", "rss_after_kib"]


def start(options, directory):
    port, tls_port = compare.free_port(), compare.free_port()
    key = directory / "server.key"
    shutil.copyfile(CERTIFICATES / "server.key", key)
    key.chmod(0o600)
    (directory / "data").mkdir()
    command = [options.vestibule, "serve", "--listen", f"127.0.0.1:{port}", "--data",
               str(directory / "data"), "--tls-listen", f"127.0.0.1:{tls_port}", "--tls-key",
               str(key), "--tls-certificate", str(CERTIFICATES / "server.pem")]
    return compare.Server(compare.OURS, directory, command, port), tls_port


def bench(options, port, *arguments):
    command = [options.generator or options.vestibule, "bench", "--json", "--addr", f"127.0.0.1:{port}", "--seconds",
               str(options.seconds), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def told(process):
    output, _ = process.communicate()
    if process.returncode != 0:
        raise compare.Failure(f"{' '.join(process.args)} failed")
    return json.loads(output)


def resident_kib(process):
    status = compare.read(f"/proc/{process.pid}/status")
    return int(status.split("VmRSS:")[1].split()[0])


def measure(options, storm_first):
    """A pair on a fresh server: without the storm and beside it."""
    with tempfile.TemporaryDirectory(prefix="vestibule-handshakes-") as top:
        server, tls_port = start(options, Path(top))
        try:
            server.wait()
            ping = ["--op", "ping", "--warmup-seconds", "0"]
            quiet = None if storm_first else told(bench(options, server.port, *ping))
            before = resident_kib(server.process)
            storm = bench(options, tls_port, "--mode", "storm", "--connections",
                          str(options.clients), "--period", "0.001", "--patience", "10",
                          "--tls-ca", str(CERTIFICATES / "ca.pem"))
            beside = bench(options, server.port, *ping)
            most = before
            while beside.poll() is None:
                most = max(most, resident_kib(server.process))
                time.sleep(0.02)
            beside, storm = told(beside), told(storm)
            time.sleep(SETTLE_S)
            after = resident_kib(server.process)
            quiet = quiet or told(bench(options, server.port, *ping))
        finally:
            server.process.kill()
            server.process.wait()
    return {"p50_us": quiet["p50_us"], "p99_us": quiet["p99_us"], "storm_p50_us": beside["p50_us"],
            "storm_p99_us": beside["p99_us"], "handshakes_each_s": storm["rate"],
            "rss_before_kib": before, "rss_storm_kib": most, "rss_after_kib": after}


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vestibule", default="target/release/vestibule", metavar="PATH",
                        help="the binary to measure (default: %(default)s)")
    parser.add_argument("--generator", metavar="PATH",
                        help="the binary that measures (default: the one to measure)")
    parser.add_argument("--clients", type=int, default=200, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=5, help="default: %(default)s")
    parser.add_argument("--json", metavar="FILE", help="write every run there as JSON too")
    return parser.parse_args()


def work(options):
    compare.raise_files_max()
    options.vestibule = str(Path(options.vestibule).resolve())
    runs = [measure(options, turn % 2 == 1) for turn in range(options.rounds)]
    print(f"{options.clients} clients that come by TLS all the time, and one that pings in plain")
    print(f"{'':<20}{'median':>12}{'lowest':>12}{'highest':>12}")
    for figure in FIGURES:
        values = [run[figure] for run in runs]
        print(f"{figure:<20}{statistics.median(values):>12,.1f}{min(values):>12,.1f}"
              f"{max(values):>12,.1f}")
    compare.write_json(options, {"runs": runs})


if __name__ == "__main__":
    sys.exit(compare.run(work, parse()))
