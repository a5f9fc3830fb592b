#!/usr/bin/env python3
"""What clients see while the server's thread is blocked: measured, and drawn.

  cargo build --release
  benches/busy.py                 # measures vestibule and Tarantool, and draws both
  benches/busy.py --draw          # draws the figures again that are kept

Every 20 ms a new client connects, is greeted and pings; after a second the thread that owns the
data is blocked for three. How long each client took is kept in benches/measured/busy.json, and the
pictures beside it are made of that and of nothing else (tests/benches.rs compares). Who is not
answered within five seconds has given up. Needs Debian's tarantool.
"""

import argparse
import json
import pathlib
import shutil
import socket
import tempfile
import threading
import time

import compare
import connections
import drain
from picture import MEASURED, THEMES, WIDTH, Picture, share, write

FIGURES = MEASURED / "busy.json"
EVERY, BEFORE, BLOCKED, AFTER, PATIENCE = 0.02, 1.0, 3.0, 1.0, 5.0

# Places in the pictures.
LEFT, RIGHT, TOP, PANEL, GAP, FOOT = 72, 12, 58, 110, 44, 46
# The axis of times, in seconds: from a tenth of a millisecond to ten seconds.
LEAST, MOST = 1e-4, 10.0

PING = drain.request(64, b"\x80")


def receive(stream, size):
    got = b""
    while len(got) < size:
        part = stream.recv(size - len(got))
        if not part:
            raise OSError("closed")
        got += part
    return got


def connect(port):
    stream = socket.create_connection(("127.0.0.1", port), PATIENCE)
    stream.settimeout(PATIENCE)
    receive(stream, compare.GREETING_SIZE)
    return stream


def visit(port, began, at, seen):
    """One client: how long until it was greeted and its ping answered; none if it gave up."""
    sent = time.monotonic()
    try:
        with connect(port) as stream:
            stream.sendall(PING)
            receive(stream, 5)
        took = time.monotonic() - sent
    except OSError:
        took = None
    seen[at] = [round(sent - began, 4), None if took is None else round(took, 6)]


def measure(port, procedure):
    blocker = connect(port)
    count = round((BEFORE + BLOCKED + AFTER) / EVERY)
    seen, threads = [None] * count, []
    began = time.monotonic()
    is_blocked = False
    for at in range(count):
        time.sleep(max(0.0, began + at * EVERY - time.monotonic()))
        if not is_blocked and time.monotonic() - began >= BEFORE:
            blocker.sendall(drain.call(procedure, int(BLOCKED)))
            is_blocked = True
        threads.append(threading.Thread(target=visit, args=(port, began, at, seen)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    blocker.close()
    return seen


def measure_all(options):
    for name in ("vestibule", "tarantool"):
        path = shutil.which(getattr(options, name))
        if path is None:
            raise compare.Failure(f"{getattr(options, name)} is missing; see --help")
        setattr(options, name, str(pathlib.Path(path).resolve()))
    servers = {}
    for name, procedure in ((compare.OURS, "vestibule.debug.block"), (compare.TUNED, "block")):
        with tempfile.TemporaryDirectory(prefix="vestibule-busy-") as top:
            server = connections.start(options, name, pathlib.Path(top))
            try:
                server.wait()
                time.sleep(0.5)
                servers[name] = measure(server.port, procedure)
            finally:
                server.stop()
    versions = [compare.first_line([getattr(options, own), "--version"])
                for own in ("vestibule", "tarantool")]
    return {"machine": compare.hardware(), "versions": versions, "visits": servers}


def x_of(seconds):
    return LEFT + seconds / (BEFORE + BLOCKED + AFTER) * (WIDTH - LEFT - RIGHT)


def y_of(top, took):
    return top + PANEL * (1 - share(took, LEAST, MOST))


def draw(figures, theme):
    picture = Picture(theme)
    colors, parts, text = picture.colors, picture.parts, picture.text
    text(0, 16, "New clients, one every 20 ms: how long until they were greeted and a ping answered",
         weight="bold")
    text(0, 35, "In the colored band the thread that owns the data is blocked for 3 s.", "faint")
    for number, (name, visits) in enumerate(figures["visits"].items()):
        top = TOP + number * (PANEL + GAP) + 14
        parts.append(f'<rect x="{x_of(BEFORE):.1f}" y="{top}" height="{PANEL}"'
                     f' width="{x_of(BEFORE + BLOCKED) - x_of(BEFORE):.1f}"'
                     f' fill="{colors["band"]}"/>')
        for took, words in ((1e-4, "0.1 ms"), (1e-2, "10 ms"), (1.0, "1 s")):
            y = y_of(top, took)
            picture.line(LEFT, WIDTH - RIGHT, y)
            text(LEFT - 8, y + 4, words, "faint", "end")
        within = [took for sent, took in visits if BEFORE <= sent < BEFORE + BLOCKED]
        prompt = sum(1 for took in within if took is not None and took < 0.1)
        title = "vestibule" if name == compare.OURS else "Tarantool"
        text(LEFT, top - 6, title, weight="bold")
        text(LEFT + 76, top - 6, f"while blocked, {prompt} of {len(within)} were answered"
                                 " within 100 ms", "faint")
        color = colors["vestibule" if name == compare.OURS else "tarantool"]
        parts.extend(f'<circle cx="{x_of(sent):.1f}" cy="{y_of(top, took):.1f}" r="2"'
                     f' fill="{color}"/>' for sent, took in visits if took is not None)
    height = TOP + 2 * (PANEL + GAP) + FOOT
    bottom = TOP + 2 * (PANEL + GAP) - GAP + 14
    for second in range(6):
        text(x_of(second), bottom + 18, f"{second} s", "faint", "end" if second == 5 else "middle")
    picture.machine(bottom + 44, figures["machine"], figures["versions"])
    return picture.svg(height, "New clients while the server's thread is blocked")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vestibule", default="target/release/vestibule", metavar="PATH")
    parser.add_argument("--tarantool", default="tarantool", metavar="PATH")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, and nothing else")
    parser.add_argument("--draw", action="store_true", help="measure nothing")
    parser.add_argument("--check", action="store_true",
                        help="write nothing, and fail if a picture is not that of the figures")
    options = parser.parse_args()
    if options.json:
        text = json.dumps(measure_all(options)) + "\n"
        pathlib.Path(options.json).write_text(text, encoding="utf-8")
        return
    if not (options.draw or options.check):
        MEASURED.mkdir(exist_ok=True)
        FIGURES.write_text(json.dumps(measure_all(options)) + "\n", encoding="utf-8")
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    made = {MEASURED / f"busy-{theme}.svg": draw(figures, theme) for theme in THEMES}
    write(made, options.check, "benches/busy.py")


if __name__ == "__main__":
    main()
