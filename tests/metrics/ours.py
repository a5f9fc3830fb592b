"""A real Prometheus scrapes a server and a gateway, and is asked what each panel of packaging/grafana.json asks,
and what the alerts of packaging/prometheus/alerts.yml do.

Usage: ours.py PROMETHEUS ADDRESS,ADDRESS DIRECTORY PACKAGING
"""

import json
import pathlib
import re
import sys

import prometheus

NAMES = re.compile(r"\b(?:vestibule|process)_[a-z_]+\b")



def expressions(dashboard):
    """Every expression, with what Grafana would put in place of its variables."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            asked = target["expr"]
            for variable, value in (
                ("$__rate_interval", "5s"),
                ("$job", "vestibule"),
                ("$instance", ".+"),
            ):
                asked = asked.replace(variable, value)
            assert "$" not in asked, f"a variable that is not known: {asked}"
            yield f"{panel['title']}: {target['legendFormat']}", asked


def variables(dashboard):
    """The metrics that the variables are filled from, as Grafana asks for them."""
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            query = variable["query"]["query"].replace("$job", "vestibule")
            inside = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
            yield inside.group(1), inside.group(2)


def main():
    program, address, directory, packaging = sys.argv[1:]
    packaging = pathlib.Path(packaging)
    dashboard = json.loads((packaging / "grafana.json").read_text())
    rules = packaging / "prometheus" / "alerts.yml"
    with prometheus.scraping(program, "vestibule", address, directory, [str(rules)]) as own:
        for series, label in variables(dashboard):
            assert own.get(f"label/{label}/values", **{"match[]": series}), f"{series}: no {label}"
        asked = list(expressions(dashboard))
        empty = [name for name, one in asked if not own.has_data(one)]
        assert not empty, f"panels without data: {empty}"

        alerts = own.get("rules")["groups"][0]["rules"]
        ill = [one["name"] for one in alerts if one["health"] == "err"]
        assert alerts and not ill, f"alerts that cannot be asked: {ill}"
        firing = [one["name"] for one in alerts if one["state"] == "firing"]
        assert not firing, f"alerts for nothing: {firing}"
        known = set(own.get("label/__name__/values"))
        unknown = {name for one in alerts for name in NAMES.findall(one["query"])} - known
        assert not unknown, f"alerts by metrics that are not there: {unknown}"
        print(f"{len(asked)} expressions have data, {len(alerts)} alerts can be asked")


main()
