"""The suite that comes with npm's tarantool-driver, against three vestibules: what its box.lua,
box1.lua and box2.lua set up is made by requests here. Its runner in Node asks here for
what the suite asks Docker for."""

import json
import os
import subprocess
import sys
import threading
from types import SimpleNamespace

from outcome import judge
from server import CA_FILE, TRANSPORT, Server, index, make_space

LIMIT_S = 180
HERE = os.path.dirname(os.path.abspath(__file__))
FUNCTIONS = ["clearaddmore", "myget", "batch", "myprint", "test_delete"]


def grant(admin, rights, *on):
    admin.call("box.schema.user.grant", "test", rights, *on)


def set_up_first(admin):
    """What box.lua does, but for the bodies of its functions and one space, with keys of maps that
    are maps, which no test reads: it is there for its number."""
    passwords = {"test": "test", "test_empty": "", "test_big": "1234567890" * 6}
    for name, password in passwords.items():
        admin.call("box.schema.user.create", name, {"password": password})
    grant(admin, "read", "space", "_space")
    grant(admin, "read", "space", "_index")
    grant(admin, "execute", "universe")
    primary = index("primary", (1, "NUM"), type="TREE", unique=True)
    secondary = index("secondary", (2, "NUM"), (3, "STR"), type="TREE", unique=False)
    text = index("primary", (1, "STR"), type="TREE", unique=True)
    make_space(admin, "test", [primary, secondary])
    make_space(admin, "msgpack", [index("primary", (1, "NUM"))])
    make_space(admin, "batched", [primary])
    make_space(admin, "toaddmore", [text])
    make_space(admin, "upstest", [primary])
    for name in ["test", "msgpack", "batched", "toaddmore", "upstest", "_index"]:
        grant(admin, "read,write", "space", name)
    for name in FUNCTIONS:
        admin.call("box.schema.func.create", name)
        grant(admin, "execute", "function", name)


def set_up_second(admin):
    admin.call("box.schema.user.create", "test", {"password": "test"})
    grant(admin, "execute", "universe")


def nothing(_):
    """box2.lua sets up nothing, and a start after a kill neither."""


class Container(Server):
    """A server that can be killed, and has its data at the next start."""

    def start(self):
        super().start()
        self._set_up = nothing


# By the names of the suite's containers, and the ports that it dials.
SERVERS = {
    "tarantool": (33013, Container(set_up_first)),
    "reserve": (33014, Container(set_up_second)),
    "reserve_2": (33015, Container(nothing)),
}


def obey(order):
    """Does `kill NAME` or `start NAME`, as for Docker; `start` alone starts all that are killed."""
    verb, *names = order.split()
    for name in names or SERVERS:
        server = SERVERS[name][1]
        if verb == "kill" and server.is_started:
            server.kill()
        elif verb == "start" and not server.is_started:
            server.start()


def reached(server):
    """What the driver's sockets are led to, in the words of Node."""
    if server.transport == "unix":
        return {"path": server.port}
    if server.transport == "tls":
        with open(CA_FILE, encoding="ascii") as authority:
            return {"port": server.port, "ca": authority.read()}
    return {"port": server.port}


def run(source):
    """Runs the suite to its end; returns what became of each test."""
    orders, orders_of_suite = os.pipe()
    ports = {port: reached(server) for port, server in SERVERS.values()}
    command = [os.environ["VESTIBULE_TEST_NODE"], os.path.join(HERE, "tarantool-driver_suite.js")]
    command += [source, json.dumps(ports), str(orders_of_suite)]
    environment = {**os.environ, "NODE_PATH": os.path.dirname(source)}
    node = subprocess.Popen(
        command, stdin=subprocess.PIPE, pass_fds=[orders_of_suite], env=environment, text=True
    )
    os.close(orders_of_suite)
    limit = threading.Timer(LIMIT_S, node.kill)
    limit.start()
    results = None
    try:
        with os.fdopen(orders) as lines:
            for line in lines:
                message = json.loads(line)
                if "results" in message:
                    results = message["results"]
                    continue
                obey(message["order"])
                print(message["id"], file=node.stdin, flush=True)
        node.wait()
    finally:
        limit.cancel()
        node.kill()
        node.wait()
    if results is None:
        raise SystemExit(f"the suite told no results, and ended with {node.returncode}")
    return results


def main(source):
    try:
        for _, server in SERVERS.values():
            server.start()
        results = run(source)
    finally:
        for _, server in SERVERS.values():
            server.discard()
    outcome = SimpleNamespace(
        passed=set(results["passed"]), failed=results["failed"], skipped_names=results["skipped"]
    )
    return judge(outcome, os.path.join(HERE, "tarantool-driver.txt"), TRANSPORT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
