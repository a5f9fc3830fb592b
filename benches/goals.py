"""The goals, what of the kept figures misses them, and why: the last part of docs/performance.md.

What is missed follows from the figures; the reasons stand here, by goal, and so do not depend on
the run. A goal that is missed and has no reason ends `benches/performance.py --check`.
"""

import json

import compare
import groups
import scale
import stalls
from picture import MEASURED

# Shapes with enough in flight to be a pipeline, and not so many connections that these are all
# there is to do.
PIPELINED = ("1x64", "16x16", "50x32")
# Rate to Tarantool's: pipelined, and at the other shapes.
RATES = {
    "replace": (2, 1.3), "select": (2, 1.3), "update": (1.5, 1.3), "upsert": (1.5, 1.3),
    "range": (1.5, 1.3), "mixed": (1.5, 1.3), "replace-second": (1.5, 1.3),
    "select-second": (1.5, 1.3), "replace-fsync": (1.5, 1.3),
}
OF_FLOOR, GAP_MS, OF_ROW = 0.95, 5, 0.5
READS = ("ping", "select", "range", "mixed", "select-second")
# Fewer of a request are none: something grows now and then.
ALLOCATIONS = 0.02
NO_ALLOCATIONS = ("ping x1", "ping x16", "select x1", "select x16")

REASONS = {
    "floor": "The floor looks at a length and answers a constant. Here a frame is read, admitted"
             " under the serving state, counted and answered, and no connection keeps another one"
             " waiting: {ping:,} instructions. Replies of several connections written together"
             " would wake a client on the same machine less often; a ping would wait for others'"
             " replies ([decision 130](decisions/0130-both-of-two-cores-have-sessions.md)). Two runs,"
             " between which a ping kept its instructions, told 0.93 and 0.65 at 256x4, and 0.94"
             " and 1.03 at 16x16: as much is the machine's.",
    "replace": "A write goes to the thread that owns the data and back: two threads are woken."
               " With one connection nothing is done meanwhile. Batches took a REPLACE alone from"
               " 24,300 instructions to 17,700 ([decision 9](decisions/0009-batches.md)), one walk"
               " over the body one of sixteen from 6,706 to {replace:,}"
               " ([decision 119](decisions/0119-usual-requests-in-one-walk.md)).",
    "select": "A session thread has one of the two cores, and more than half of its time is the"
              " kernel's: reading, writing, and waking the client. Tarantool's has the network on"
              " one thread and the data on another, which share a read. One walk over the body took"
              " a SELECT from 4,185 instructions to {select:,}; to know the bytes of each connector"
              " was weighed there and left"
              " ([decision 119](decisions/0119-usual-requests-in-one-walk.md)). {room}"
              " {together} Two session threads"
              " had 1.41 and 1.47 of Tarantool's rate at 16x16 and 50x32, and a 99th percentile of"
              " up to 2.9 times Tarantool's"
              " ([decision 134](decisions/0134-one-of-two-cores-has-sessions.md)).",
    "update": "The way to the thread that owns the data and back, as of a REPLACE; the body's"
              " values are taken one by one on both threads. Fields that are changed in one walk"
              " took an UPDATE from 12,348 instructions to {update:,}.",
    "range": "As a SELECT by key, and the session thread copies ten rows. Looking for the range's"
             " end once in each leaf took it from 6,849 instructions to {range:,}.",
    "mixed": "A SELECT behind a write of its own connection sees it, and so goes to the thread that"
             " owns the data; those before it are answered at once. So a pipeline is answered in"
             " parts, each of which wakes the client. All SELECTs of a connection that has a write"
             " under way in its batch: 8 % more at 16x16, 7 % less at 1x64; it would take from"
             " them that they are answered while that thread stands still"
             " ([decision 130](decisions/0130-both-of-two-cores-have-sessions.md)). Of sixteen one"
             " takes {mixed:,} instructions, where nine SELECTs and a REPLACE by themselves take"
             " {parts:,} on average. To keep SELECTs until the write before them is answered, and"
             " to read the view then, was tried, in pairs on a busy machine (medians of 5, 0.5 s"
             " each): 0.33 of the rate at 1x64, 0.73 at 256x4, 1.00 at 16x16, 0.59 at 50x32."
             " What is behind a kept SELECT"
             " waits as well, for it starts in order and the SELECT may not see a write behind"
             " it: so each write of a pipeline has a way to the other thread and back of its own,"
             " where all of them share one.",
    "replace-second": "As a REPLACE, and a second tree is changed, by keys that are longer than the"
                      " eight bytes that nodes are searched by: {replace-second:,} instructions.",
    "select-second": "As a SELECT by key. The key is the beginning of longer ones, found without a"
                     " look at the rest of them: from 5,461 instructions to {select-second:,}.",
    "replace-fsync": "Who has few connections waits for the disk, on both sides: a turn and its"
                     " fsync take longer than all else, and what comes meanwhile is the next turn."
                     " How long an fsync takes is the machine's: at 1x1 the median was 241 µs in"
                     " one run and 281 in the next, Tarantool's 269 and 271.",
    "p99": "Server and generator share two cores: the slowest wait for the scheduler. With two"
           " session threads it was up to ten times Tarantool's, and at or below with one, in the"
           " run of [decision 134](decisions/0134-one-of-two-cores-has-sessions.md). What it is of"
           " reads at 50x32 was found after this run: {order}",
    "replies": "One thread writes them, in pieces that others' replies go between. Without the"
               " copies of large rows the server's own time for a MB went from 128 to 19 µs in"
               " chunks and 53 to 19 whole; the rest is the kernel's"
               " ([decision 94](decisions/0094-large-rows-are-not-copied.md)).",
    "allocations": "The client of the benchmark was counted as well, which made two for what is"
                   " sent at a time, and now makes none; the server made 3 in 512 requests, by"
                   " `dhat`.",
    "gaps": "Clients, load and server share two cores: gaps of 5 to 8 ms there are on both sides"
            " with nothing done beside, and are the machine's. While an index is built writes are"
            " refused at once (solo is declared) and wait for nothing, but none is answered; the"
            " start of a killed server is its recovery, during which Tarantool answers no ping"
            " either.",
    "definitions": "What sessions know of definitions was a tree with one of them in"
                   " each node, so that its versions share what did not change: who read all of"
                   " it waited for memory at each, half of the time, by `perf`. Nodes have up to"
                   " 15 now, and a row's bytes are one step from its node, not two: by a program"
                   " that has such trees and rows alone, beside compilers, a walk over 10,000 took"
                   " 0.51 to 0.63 of the time (868 to 1,163 µs, 1,533 to 2,114 before; medians of"
                   " 41 rounds, three runs), and a change 2 to 3 µs more. Nodes of 31 and 63 took"
                   " 0.4 to 0.5, and changes another 1 to 2 µs. To look at 16 rows ahead took 0.8"
                   " with nodes of one, and nothing off with wider ones. A right"
                   " is granted and revoked in 165 to 270 µs whatever there is, and Tarantool's"
                   " time goes up and down between runs.",
    "rows": "Rows of up to 30 bytes stand in the leaves ([decision"
            " 2](decisions/0002-own-b-plus-tree.md)), of each index: a row's bytes, eight of each"
            " key and eight more of the longer one are 48 of the 49.5 that the goal leaves."
            " What a key has beyond its first eight bytes takes as many bytes as it has, and the"
            " last leaf has no place left free by rows in order: from 115 bytes and 1.16 of"
            " Tarantool's to 96 and 0.98. By a program that has the trees alone"
            " a row went from 114.7 bytes to 94.5, and of instructions a look-up from 304 to 278, by"
            " the second index from 865 to 794, ten rows from 1,066 to 972, a row replaced in both"
            " from 1,503 to 1,145. No row in the second index, which is then found by its primary"
            " key, saves 32 bytes, and took twice the time (14.7 µs for 8.2, medians of 21 pairs"
            " with 1,000,000 rows, beside compilers): speed goes first. A pointer in its place: rows"
            " in leaves move, so that one needs an allocation of 48 bytes, and nothing is saved."
            " What else was weighed stands in [decision"
            " 145](decisions/0145-small-rows-stand-in-every-index.md).",
}

# What was tried of look-ups, in pairs.
TOGETHER = (
    "With many keys a look-up waits for memory. To go down the tree with sixteen of one burst level"
    " by level, so that they wait at once, was tried by a program that has the tree's nodes alone,"
    " and 215 ns of other work for each look-up (medians of 21 rounds of 64,000, nothing beside):"
    " with 2,000,000 keys in random order both took 771 ns one by one, 402 together, and 466 if"
    " sixteen go down only to fetch what is then looked up one by one, which leaves the order of"
    " requests and all checks as they are; with 100,000 keys 380, 269 and 310. That last way is what"
    " indexes of 400,000 tuples and more have now: with 2,000,000 keys it took a SELECT's rate to"
    " 1.29 at 1x64, 1.20 at 16x16, 1.22 at 50x32 and 0.99 at 256x4"
    " ([decision 135](decisions/0135-look-ups-of-a-burst-wait-together.md)). To answer from what was"
    " found, and so save the second way down, was tried in the server: 6,510 instructions for a"
    " SELECT of sixteen with 450,000 keys (callgrind) where it takes 6,250, since keys and tuples are"
    " copied and compared, and with 2,000,000 keys 0.94, 0.97 and 0.93 of the rate at 1x64, 16x16"
    " and 50x32 (medians of 15 pairs of 0.3 s, before all else on a busy machine).")


# Why few wait long where all ask for the same.
ORDER = (
    "a session whose turn took 50 µs lets others go first for 64 times as long, and one such session"
    " has a turn between two looks at the reactor. Pipelines of 32 reads take 20 to 60 µs, so some"
    " of 50 equal connections are served once in several rounds of the rest. Server, generator and"
    " Tarantool before all else on a busy machine (real-time priority, interleaved, 0.3 s each)."
    " Without that rest, medians of 9 pairs, ranges, SELECTs by key and by the second index with"
    " 100,000 keys at 50x32 have 0.63, 0.64 and 0.59 of the 99th percentile and 0.95, 0.97 and 0.99"
    " of the rate, but a ping beside them waits 1.7 and 1.4 ms at the median, where it waits 1.6 and"
    " 1.4 now. With turns for all that wait, as long together as the others' on average, 0.86, 0.90"
    " and 0.55. With that, and rests that begin at 12 µs: 1.17, 1.10 and 0.94 of Tarantool's at 50x32,"
    " where it was 2.64, 1.53 and 1.80 (five rounds each), a ping beside waits 0.7 and 0.5 ms,"
    " and SELECTs at 16x16 have 0.92 of the rate (21 pairs). With rests that begin at 50 µs and go on"
    " as long as turns take 12: at 16x16 0.99 of the rate, at 50x32 0.37 of the percentile and 1.01"
    " of the rate for ranges, 0.88 and 0.94 for SELECTs (15 pairs), and a ping beside waits"
    " 0.6 ms. On a quiet machine that did not come back for SELECTs: rests that go on as long as turns"
    " take 12, 25 and 50 µs had 1.08, 0.89 and 0.87 of the percentile at 50x32, 0.99, 1.16 and 1.22 at"
    " 16x16, and 0.96 to 1.00 of the rate (9 pairs); ranges 0.86, 1.26 and 0.94, 0.97, 1.18 and 1.14."
    " So it is not in the server.")


def target(op, shape):
    """What the rate has to be of Tarantool's."""
    pipelined, other = RATES[op]
    return pipelined if shape in PIPELINED else other


def ratios(figures, key, ops):
    """Operation, shape and ratio of each cell, as the tables tell it."""
    return [(cell["op"], cell["shape"], round(cell["ratios"][key], 2)) for cell in figures["cells"]
            if cell["op"] in ops and cell["ratios"].get(key) is not None]


def contender_rates(figures, op, shape):
    """Ours, and that of the better Tarantool, if both were measured."""
    for cell in figures["cells"]:
        if (cell["op"], cell["shape"]) == (op, shape):
            rates = {name: row["rate"] for name, row in cell["contenders"].items()}
            theirs = [rates[name] for name in (compare.TUNED, compare.DEFAULT) if name in rates]
            if compare.OURS in rates and theirs:
                return rates[compare.OURS], max(theirs)
    return None


def room(figures):
    """What the goal leaves a SELECT of the time that a PING takes here."""
    told, beyond = [], []
    for shape in PIPELINED:
        select, ping = (contender_rates(figures, op, shape) for op in ("select", "ping"))
        if select and ping:
            ours, goal = (1e9 / rate for rate in (ping[0], select[1] * target("select", shape)))
            told.append(f"{shape} {goal:,.0f} and {ours:,.0f}")
            beyond += [shape] * (ours > goal)
    if not told:
        return ""
    out = f" At {' and '.join(beyond)} PING itself is no faster than the goal." if beyond else ""
    return ("At the goal a SELECT would take so many nanoseconds of the machine, and a PING, which"
            f" looks up nothing, takes so many: {'; '.join(told)}.{out}")


def rates_missed(figures, op):
    return [f"{shape} {value:.2f}" for _, shape, value
            in ratios(figures, "rate_to_tarantool", (op,)) if value < target(op, shape)]


def p99_missed(figures, titles):
    """By operation, since all have the same goal."""
    found = {}
    for op, shape, value in ratios(figures, "p99_to_tarantool", (*RATES, "ping")):
        if value > 1:
            found.setdefault(op, []).append(f"{shape} {value:.2f}")
    return [f"{titles[op]}: {', '.join(cells)}" for op, cells in found.items()]


def gaps_missed(kept):
    ours, theirs = (kept["servers"][name] for name in stalls.NAMES)
    gap = lambda of, what, probe: of[what][probe]["longest_gap_ms"]
    return [f"{stalls.TITLES[what].format(**kept)}, {probe}: {gap(ours, what, probe):g}"
            f" (Tarantool {gap(theirs, what, probe):g})"
            for what in stalls.TITLES for probe in stalls.PROBES
            if gap(ours, what, probe) > GAP_MS]


def definitions_missed(kept):
    ours, theirs = (kept["definitions"][name] for name in scale.NAMES)
    return [f"{title}, {int(number):,}: {ours[number][what]:,.0f} µs"
            f" (Tarantool {theirs[number][what]:,.0f})"
            for what, title in scale.TITLES.items() for number in ours
            if ours[number][what] > theirs[number][what]]


def rows_missed(kept):
    ours, theirs = (kept["rows"][name] for name in scale.NAMES)
    return [f"{ours / theirs:.2f}"] if ours / theirs > OF_ROW else []


def others(costs):
    """Goals of what the other benchmarks have kept."""
    found = [("no allocation for a ping or a SELECT", "allocations",
              [f"{name} {costs[name]['allocations']:g}" for name in NO_ALLOCATIONS
               if costs[name]["allocations"] > ALLOCATIONS])]
    read = lambda own: json.loads(own.FIGURES.read_text(encoding="utf-8"))
    if stalls.FIGURES.is_file():
        found.append((f"at most {GAP_MS} ms between two answers, whatever is done beside", "gaps",
                      gaps_missed(read(stalls))))
    if scale.FIGURES.is_file():
        kept = read(scale)
        if "definitions" in kept:
            found.append(("what has to do with definitions, no slower than Tarantool",
                          "definitions", definitions_missed(kept)))
        if "rows" in kept:
            found.append((f"memory of a row, {OF_ROW:g} of Tarantool's", "rows",
                          rows_missed(kept)))
    return found


def all_goals(figures, titles, costs):
    """What the goal is, which reason it has if it is missed, and where it is missed."""
    floor = [f"{shape} {value:.2f}" for _, shape, value
             in ratios(figures, "rate_to_floor", ("ping",)) if value < OF_FLOOR]
    goals = [(f"ping, {OF_FLOOR:g} of the floor's rate", "floor", floor)]
    for op, (pipelined, other) in RATES.items():
        text = f"{titles[op]}, {pipelined:g} of Tarantool's rate pipelined and else {other:g}"
        goals.append((text, "update" if op == "upsert" else op, rates_missed(figures, op)))
    goals.append(("99th percentile, no more than Tarantool's", "p99", p99_missed(figures, titles)))
    many = figures.get("many")
    if many:
        for op in dict.fromkeys(cell["op"] for cell in many["cells"]):
            goals.append((f"{titles[op]} with {many['keys']:,} keys, the same rate", op,
                          rates_missed(many, op)))
        goals.append((f"99th percentile with {many['keys']:,} keys, no more than Tarantool's",
                      "p99", p99_missed(many, titles)))
    slow = [f"{row['bytes'] / 1e6:g} MB {rate / theirs:.2f}" for row in figures["replies"]
            for rate, theirs in [[row["mb_per_second"].get(own)
                                  for own in (groups.WHOLE, groups.TARANTOOL)]]
            if rate and theirs and round(rate / theirs, 2) < 1]
    goals.append(("large replies, no slower than Tarantool's", "replies", slow))
    return goals + others(costs)


def told(figures, titles):
    """The lines of the page."""
    costs = json.loads((MEASURED / "cost.json").read_text(encoding="utf-8"))["costs"]
    counts = {name.removesuffix(" x16"): cost["instructions"] for name, cost in costs.items()
              if name.endswith(" x16")}
    # A tenth of the mix are writes.
    counts["parts"] = round(0.9 * counts["select"] + 0.1 * counts["replace"])
    counts.update(room=room(figures), together=TOGETHER, order=ORDER)
    goals = all_goals(figures, titles, costs)
    lines = ["| goal | missed | why, and what was tried |", "|---|---|---|"]
    for text, reason, missed in goals:
        if missed:
            if reason not in REASONS:
                raise compare.Failure(f"{text}: missed at {missed}, and goals.py tells no reason")
            why = REASONS[reason].format(**counts)
            lines.append(f"| {text} | {'; '.join(missed)} | {why} |")
    met = [text for text, _, missed in goals if not missed]
    lines += ["", "Met everywhere: " + ("; ".join(met) or "none") + "."]
    if not figures.get("many"):
        lines += ["", "With more keys it was not measured yet."]
    return lines
