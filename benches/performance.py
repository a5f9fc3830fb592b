#!/usr/bin/env python3
"""Every comparison of rates in one run: measured, told in docs/performance.md, and drawn.

  cargo build --release
  benches/performance.py              # about 25 minutes; nothing else should run meanwhile
  benches/performance.py --draw       # tells and draws the figures again that are kept

It runs compare.py (all operations and shapes, and some of them with many keys) and the throughput
of groups.py, and keeps their medians in benches/measured/performance.json. Where the time goes,
waits beside other work, and what rows and definitions cost, is told as where.py, stalls.py and
scale.py have kept it. The tables of docs/performance.md and the pictures beside the figures are
made of these and of nothing else, and so is what goals are missed there (goals.py; tests/benches.rs
compares). Who is not installed is said to be missing, there too.
"""

import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

import compare
import goals
import groups
import scale
import stalls
import where
from picture import MEASURED, THEMES, WIDTH, Picture, share, write

HERE = pathlib.Path(__file__).resolve().parent
FIGURES = MEASURED / "performance.json"
PAGE = HERE.parent / "docs" / "performance.md"
BEGIN, END = "<!-- figures: made by benches/performance.py -->", "<!-- end of figures -->"
MISSED = "<!-- goals: made by benches/performance.py -->", "<!-- end of goals -->"
RIVALS = (compare.TUNED, compare.DEFAULT)

OP_TITLES = {
    "ping": "ping", "replace": "replace", "select": "select by key", "update": "update",
    "upsert": "upsert", "range": "ten rows from a key on",
    "mixed": "mixed, 9 selects to a replace", "replace-second": "replace with a second index",
    "select-second": "select by a second, non-unique index",
    "replace-fsync": "replace, on the disk when answered",
}
DRAWN = ("ping", "replace", "select")
# What is measured with many keys as well: where a look-up waits for memory.
MANY_OPS, MANY_SHAPES = ("select", "replace", "range"), ("1x64", "16x16", "50x32", "256x4")
KINDS = {
    "rate": ("Requests per second", "rate", ("1 k", "10 k", "100 k", "1 M", "10 M"),
             (1e3, 1e4, 1e5, 1e6, 1e7)),
    "p99": ("99th percentile of the latency", "p99_us",
            ("10 µs", "100 µs", "1 ms", "10 ms", "100 ms"), (1e1, 1e2, 1e3, 1e4, 1e5)),
}
LEFT, TOP, PANEL, GAP, HEIGHT = 52, 66, 216, 22, 176


def child(script, *arguments):
    command = [sys.executable, str(HERE / script), *arguments]
    print("+ " + " ".join(command[1:]), flush=True)
    if subprocess.run(command, check=False).returncode != 0:
        raise compare.Failure(f"{script} failed")


def measure_all(options):
    """Runs the comparisons; their medians."""
    missing = []
    for name, path in (("vestibule", options.vestibule), ("tarantool", options.tarantool)):
        if shutil.which(path) is None:
            missing.append(name)
    if "vestibule" in missing:
        raise compare.Failure(f"{options.vestibule} is missing: `cargo build --release`")
    given = ["--vestibule", options.vestibule, "--rounds", str(options.rounds)]
    without = ["--no-tarantool"] if missing else ["--tarantool", options.tarantool]
    only = [part for op in options.only_op or [] for part in ("--only-op", op)]
    only += [part for shape in options.only_shape or [] for part in ("--only-shape", shape)]
    with tempfile.TemporaryDirectory(prefix="vestibule-performance-") as top:
        small, large, many = (f"{top}/{name}.json" for name in ("small", "large", "many"))
        warmup = min(0.3, options.seconds / 2)
        timed = ["--seconds", str(options.seconds), "--warmup", str(warmup)]
        child("compare.py", *given, *without, *timed, "--keys", str(options.keys), "--json", small,
              *only)
        only = [part for op in MANY_OPS for part in ("--only-op", op)]
        only += [part for own in options.many_shape or MANY_SHAPES
                 for part in ("--only-shape", own)]
        child("compare.py", *given, *without, *timed, "--keys", str(options.many_keys), "--json",
              many, "--shared", "--no-floor", *only)
        sizes = [part for size in options.sizes or [] for part in ("--size", str(size))]
        without = ["--without", "tarantool"] if missing else ["--tarantool", options.tarantool]
        child("groups.py", *given, *without, "--without", "yamux", "--only", "throughput",
              "--direction", "down", "--seconds", str(options.seconds), "--json", large, *sizes)
        small, large, many = (json.loads(pathlib.Path(own).read_text(encoding="utf-8"))
                              for own in (small, large, many))
    return kept(small, large, many, missing)


def kept_cells(compared):
    """Cells as they are kept: medians, without the single runs."""
    return [{"op": cell["op"], "shape": cell["shape"],
             "contenders": {name: {key: round(row[key], 1) for key in
                                   ("rate", "rate_min", "rate_max", "p50_us", "p99_us")}
                            for name, row in cell["contenders"].items()},
             "ratios": {key: value and round(value, 3) for key, value in cell["ratios"].items()}}
            for cell in compared["cells"]]


def kept(small, large, many, missing):
    """What is kept of all."""
    replies = [{"bytes": int(title.split()[1]),
                "mb_per_second": {name: round(statistics.median(
                    run["bytes_per_second"] for run in runs) / 1e6) for name, runs in of.items()}}
               for title, of in large["runs"]["throughput"].items()]
    about = {key: small[key] for key in ("machine", "versions", "seconds", "rounds", "keys",
                                         "session_threads")}
    return {**about, "missing": missing, "cells": kept_cells(small), "replies": replies,
            "many": {"keys": many["keys"], "cells": kept_cells(many)}}


def cell_of(figures, op, shape):
    for cell in figures["cells"]:
        if (cell["op"], cell["shape"]) == (op, shape):
            return cell
    return None


def table(figures, key, note):
    """A table of a ratio, with a row for each operation."""
    shapes = [shape for shape in compare.SHAPES
              if any(cell["shape"] == shape for cell in figures["cells"])]
    lines = ["| " + " | ".join([note, *shapes]) + " |", "|---" * (len(shapes) + 1) + "|"]
    for op in compare.OPS:
        cells = [cell_of(figures, op, shape) for shape in shapes]
        values = [cell and cell["ratios"].get(key) for cell in cells]
        if any(value is not None for value in values):
            texts = ["–" if value is None else f"{value:.2f}" for value in values]
            lines.append("| " + " | ".join([OP_TITLES[op], *texts]) + " |")
    return lines if len(lines) > 2 else ["Tarantool was not installed."]


def many_keys(figures):
    """The same ratios with many keys, if that was measured."""
    many = figures.get("many")
    if not many:
        return []
    return [f"### The same with {many['keys']:,} keys", "",
            "Servers that serve all shapes, one after the other.", "",
            *table(many, "rate_to_tarantool", "rate, above 1 is faster"), "",
            *table(many, "p99_to_tarantool", "99th percentile, below 1 is better"), ""]


def absolute(figures):
    """Rates of ours, and the spread of the rounds."""
    lines = ["| | shape | requests/s | lowest to highest round | p50, µs | p99, µs |",
             "|---|---|---|---|---|---|"]
    for cell in figures["cells"]:
        row = cell["contenders"].get(compare.OURS)
        if row:
            spread = f"{row['rate_min']:,.0f} to {row['rate_max']:,.0f}"
            lines.append(f"| {OP_TITLES[cell['op']]} | {cell['shape']} | {row['rate']:,.0f}"
                         f" | {spread} | {row['p50_us']:,.1f} | {row['p99_us']:,.1f} |")
    return lines


def replies(figures):
    names = [groups.WHOLE, groups.CHUNKED, groups.TARANTOOL]
    lines = ["| MB/s | whole | in chunks | Tarantool | whole / Tarantool |", "|---" * 5 + "|"]
    for row in figures["replies"]:
        rates = [row["mb_per_second"].get(name) for name in names]
        texts = ["missing" if rate is None else f"{rate:,}" for rate in rates]
        share = f"{rates[0] / rates[2]:.2f}" if rates[0] and rates[2] else "–"
        lines.append("| " + " | ".join([f"{row['bytes'] / 1e6:g} MB", *texts, share]) + " |")
    return lines


def told(figures):
    """The part of the page that is made of figures."""
    machine, versions = figures["machine"], figures["versions"]
    missing = "".join(f" {name} was missing." for name in figures["missing"])
    threads = figures["session_threads"]
    return "\n".join([
        BEGIN,
        f"{machine['cpu'] or 'Unknown processor'}, {machine['cores']} cores, {machine['kernel']};"
        f" {', '.join(versions.values())}. Medians of {figures['rounds']} rounds of"
        f" {figures['seconds']:g} s; {figures['keys']:,} keys;"
        f" {threads} session thread{'s' * (threads > 1)}.{missing}", "",
        "### Rate, ours to Tarantool's", "",
        *table(figures, "rate_to_tarantool", "above 1 is faster"), "",
        "### 99th percentile, ours to Tarantool's", "",
        *table(figures, "p99_to_tarantool", "below 1 is better"), "",
        "### Rate, ours to the floor's", "",
        *table(figures, "rate_to_floor", "1 would be perfection"), "",
        *many_keys(figures),
        "### Large replies over one connection", "", *replies(figures), "",
        "### Ours by itself", "", *absolute(figures), "",
        "### Instructions and allocations of a request", "", *costs(), *others(), END])


def others():
    """What the other benchmarks have kept for the page."""
    lines = []
    for own in (where, stalls, scale):
        if own.FIGURES.is_file():
            lines += ["", *own.tables(json.loads(own.FIGURES.read_text(encoding="utf-8")))]
    return lines


# By valgrind's dhat, whose counts of a short and a longer run of benches/cost.rs differ by these.
ALLOCATIONS = [
    "The five allocations of a REPLACE alone are four of actix, an envelope and a place in the"
    " mailbox's queue for each of the two messages between session and Tx, and a node of the"
    " standard library's B-tree for what the turn changes, which each further index has as well."
    " Sixteen at a time share the two messages and have three nodes together: 7 of 16. A message of"
    " actix is not to be had for less, and a turn may change anything from one row to all.",
]


def costs():
    """What benches/cost.py has counted."""
    kept = json.loads((MEASURED / "cost.json").read_text(encoding="utf-8"))
    lines = ["By `benches/cost.py`, on one thread, the client's part included;"
             f" {kept['compiler']}.", "",
             "| | instructions, one at a time | allocations | instructions, 16 at a time"
             " | allocations |", "|---" * 5 + "|"]
    for op in compare.OPS:
        one, many = (kept["costs"].get(f"{op} x{depth}") for depth in (1, 16))
        if one and many:
            counts = [f"{cost['instructions']:,} | {abs(cost['allocations']):g}"
                      for cost in (one, many)]
            lines.append(f"| {OP_TITLES[op]} | {' | '.join(counts)} |")
    return [*lines, "", *ALLOCATIONS]


def y_of(value, lowest, highest):
    return TOP + HEIGHT * (1 - share(value, lowest, highest))


def panel(figures, op, key, left, ticks, picture):
    """A panel with a dot for each shape and contender."""
    lowest, highest = ticks[1][0], ticks[1][-1]
    picture.text(left, TOP - 10, OP_TITLES[op], weight="bold")
    for words, value in zip(*ticks):
        y = y_of(value, lowest, highest)
        picture.line(left, left + PANEL, y)
        if left == LEFT:
            picture.text(left - 6, y + 4, words, "faint", "end")
    step = PANEL / len(compare.SHAPES)
    for number, shape in enumerate(compare.SHAPES):
        x = left + step * (number + 0.5)
        picture.text(x, TOP + HEIGHT + 18, shape, "faint", "middle")
        found = (cell_of(figures, op, shape) or {"contenders": {}})["contenders"]
        best = max if key == "rate" else min
        rivals = [found[name][key] for name in RIVALS if name in found]
        dots = [("tarantool", best(rivals))] if rivals else []
        if compare.OURS in found:
            dots.append(("vestibule", found[compare.OURS][key]))
        for name, value in dots:
            unit = "/s" if key == "rate" else " µs"
            picture.parts.append(
                f'<circle cx="{x:.1f}" cy="{y_of(value, lowest, highest):.1f}" r="4.5"'
                f' fill="{picture.colors[name]}">'
                f'<title>{name}, {shape}: {value:,.0f}{unit}</title></circle>')


def draw(figures, kind, theme):
    title, key, names, values = KINDS[kind]
    picture = Picture(theme)
    picture.text(0, 16, title, weight="bold")
    for at, (name, words) in enumerate((("vestibule", "vestibule"), ("tarantool", "Tarantool"))):
        picture.parts.append(
            f'<circle cx="{5 + at * 90}" cy="31" r="4.5" fill="{picture.colors[name]}"/>')
        picture.text(14 + at * 90, 35, words, "faint")
    picture.text(WIDTH, 35, "connections × requests in flight on each", "faint", "end")
    for number, op in enumerate(DRAWN):
        panel(figures, op, key, LEFT + number * (PANEL + GAP), (names, values), picture)
    height = TOP + HEIGHT + 48
    picture.machine(height - 6, figures["machine"], figures["versions"].values())
    return picture.svg(height, f"{title}, vestibule beside Tarantool")


def between(page, begin, end, text):
    """The page with this text in place of what begins and ends with these lines."""
    before, rest = page.split(begin, 1)
    return before + text + rest.split(end, 1)[1]


def results(figures):
    """Every file that is made of the figures, with its text."""
    page = between(PAGE.read_text(encoding="utf-8"), BEGIN, END, told(figures))
    begin, end = MISSED
    missed = "\n".join([begin, *goals.told(figures, OP_TITLES), end])
    made = {PAGE: between(page, begin, end, missed)}
    for kind in KINDS:
        for theme in THEMES:
            made[MEASURED / f"{kind}-{theme}.svg"] = draw(figures, kind, theme)
    return made


def main(options):
    if not (options.draw or options.check):
        figures = measure_all(options)
        if options.json:
            pathlib.Path(options.json).write_text(json.dumps(figures) + "\n", encoding="utf-8")
            return
        FIGURES.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    made = results(json.loads(FIGURES.read_text(encoding="utf-8")))
    write(made, options.check, "benches/performance.py")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vestibule", default="target/release/vestibule", metavar="PATH")
    parser.add_argument("--tarantool", default="tarantool", metavar="PATH")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=1.5, help="of a run; default: 1.5")
    parser.add_argument("--keys", type=int, default=100_000, help="default: %(default)s")
    parser.add_argument("--many-keys", type=int, default=2_000_000,
                        help="of the cells with many of them; default: %(default)s")
    parser.add_argument("--many-shape", action="append", choices=MANY_SHAPES,
                        help="of those; may be repeated")
    parser.add_argument("--only-op", action="append", choices=compare.OPS, help="may be repeated")
    parser.add_argument("--only-shape", action="append", type=compare.shape, metavar="CxD",
                        help="may be repeated")
    parser.add_argument("--size", action="append", type=int, dest="sizes", metavar="BYTES",
                        help="of large replies; may be repeated")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, and nothing else")
    parser.add_argument("--draw", action="store_true", help="measure nothing")
    parser.add_argument("--check", action="store_true",
                        help="write nothing, and fail if page or pictures are not of the figures")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(compare.run(main, parse()))
