"""Both parsers of the official Python client on what a server tells.

Usage: formats.py ADDRESS VALUES, where VALUES is JSON: a list of [name, labels, value].
"""

import json
import sys
import urllib.request

from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser


def ask(address, accept):
    request = urllib.request.Request(f"http://{address}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def samples(families):
    found = {}
    for family in families:
        assert family.documentation, f"{family.name} has no help"
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, f"{key} is told twice"
            found[key] = sample.value
    return found


def main():
    address, expected = sys.argv[1], json.loads(sys.argv[2])
    for accept, content_type, parse in [
        ("text/plain", "text/plain; version=0.0.4", parser.text_string_to_metric_families),
        (
            "application/openmetrics-text; version=1.0.0",
            "application/openmetrics-text; version=1.0.0",
            openmetrics_parser.text_string_to_metric_families,
        ),
    ]:
        told, text = ask(address, accept)
        assert told.startswith(content_type), told
        assert "," not in told, told
        found = samples(parse(text))
        for name, labels, value in expected:
            key = (name, tuple(sorted(labels.items())))
            assert found.get(key) == value, f"{accept}: {key} is {found.get(key)}, not {value}"
        print(f"{len(found)} samples of {content_type}")


main()
