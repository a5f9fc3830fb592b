"""A real Prometheus, for the scripts beside this file."""

import contextlib
import json
import pathlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request


def free_port():
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return own.getsockname()[1]


def config(job, addresses, rules):
    return json.dumps(
        {
            "global": {
                "scrape_interval": "500ms",
                "scrape_timeout": "500ms",
                "evaluation_interval": "500ms",
            },
            "rule_files": rules,
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": addresses}]}
            ],
        }
    )


class Prometheus:
    """Asks the one that listens on a port."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}/api/v1"

    def get(self, path, **question):
        url = f"{self.url}/{path}?{urllib.parse.urlencode(question)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def ask(self, expression):
        return self.get("query", query=expression)["result"]

    def has_data(self, expression):
        return any(row["value"][1] != "NaN" for row in self.ask(expression))

    def wait_for_samples(self, deadline):
        while time.monotonic() < deadline:
            try:
                if self.ask("min(count_over_time(up[1m])) >= 12"):
                    return
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.2)
        sys.exit("Prometheus has not scraped in time")


@contextlib.contextmanager
def scraping(program, job, address, directory, rules=()):
    """One that has scraped an address, or several with commas between them, a dozen times each, and
    never in vain."""
    directory = pathlib.Path(directory)
    file = directory / "prometheus.yml"
    file.write_text(config(job, address.split(","), list(rules)))
    port = free_port()
    server = subprocess.Popen(
        [
            program,
            f"--config.file={file}",
            f"--storage.tsdb.path={directory / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
    )
    try:
        own = Prometheus(port)
        own.wait_for_samples(time.monotonic() + 60)
        assert own.ask("min(min_over_time(up[1m])) == 1"), "a scrape failed"
        yield own
    finally:
        server.terminate()
        server.wait(10)
