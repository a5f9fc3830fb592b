"""In place of the `tarantool` that a connector's own suite starts: the real one, with what stands at
the address that the suite asks for. Directly that is the Tarantool itself; with SUITE_GATEWAY it
listens at a socket of its own, and a gateway before it. All of it ends with the Tarantool, and with
this process."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REAL = os.environ["VESTIBULE_TEST_TARANTOOL"]
LOOK_S = 0.005
PR_SET_PDEATHSIG = 1


def end_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start(command, **options):
    return subprocess.Popen(command, preexec_fn=end_with_parent, **options)


def gateway_command(directory, asked, private, version):
    # A path, a port, or HOST:PORT where the host of a path is `unix/`.
    path = asked.removeprefix("unix/:")
    if "/" in path:
        # A Tarantool listens in the place of whatever file there is.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        listen = f"unix:{os.path.abspath(path)}"
    else:
        listen = asked if ":" in asked else f"0.0.0.0:{asked}"
    password = os.path.join(directory, "password")
    with open(password, "w", encoding="ascii", opener=lambda *own: os.open(*own, 0o600)) as out:
        out.write("gateway")
    return [
        *[os.environ["VESTIBULE_TEST_SERVER"], "--listen", listen],
        *["--upstream", f"a=unix:{private}", "--server-version", version],
        *["--upstream-user", "gateway", "--upstream-password-file", password],
        # The suites have one Tarantool, and ask it at once what became of it.
        *["--failover-hold", "0"],
    ]


def wait_for(paths, process):
    """Whether all of them came while the process runs."""
    while not all(map(os.path.exists, paths)):
        if process.poll() is not None:
            return False
        time.sleep(LOOK_S)
    return True


def run(arguments, directory):
    told = os.path.join(directory, "asked")
    environment = {**os.environ, "SUITE_ASKED": told, "LUA_PATH": f"{HERE}/?.lua;;"}
    through = "SUITE_GATEWAY" in os.environ
    private = os.path.join(directory, "private.sock")
    # Where it has to be found, if not where it says itself.
    place = os.environ.get("SUITE_AT")
    if through or place is not None:
        environment["SUITE_LISTEN"] = private if through else place
    tarantool = start([REAL, "-l", "relocated", *arguments], env=environment)
    # Whoever ends this process means the Tarantool.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: tarantool.send_signal(number))
    gateway = None
    if through and wait_for([told, private], tarantool):
        with open(told, encoding="utf-8") as file:
            asked = place or file.read()
        version = subprocess.check_output([REAL, "-V"], text=True).split()[1]
        command = gateway_command(directory, asked, private, version.split("-")[0])
        gateway = start(command, stdin=subprocess.DEVNULL)
    code = tarantool.wait()
    if gateway is not None:
        # It tells its clients first what became of what they had asked.
        gateway.terminate()
        gateway.wait()
    return code


def main(arguments):
    if not arguments or arguments[0].startswith("-"):
        os.execv(REAL, [REAL, *arguments])
    # A suite that is given up leaves nothing behind.
    end_with_parent()
    with tempfile.TemporaryDirectory(prefix="vestibule-suite-") as directory:
        code = run(arguments, directory)
    # As the Tarantool has ended.
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
