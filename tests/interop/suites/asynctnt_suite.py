"""The suite of asynctnt's source distribution, against a vestibule. Its set-up, which is not in the
distribution, is made by requests here."""

import contextlib
import os
import re
import sys
import unittest

import asynctnt.instance
from outcome import Result, judge
from server import TRANSPORT, Server, index, limit_time, make_space

SPACES = ["tester", "no_schema_space"]
SPACES += ["tester_ext_dec", "tester_ext_uuid", "tester_ext_datetime"]
LIMIT_S = 300
HERE = os.path.dirname(os.path.abspath(__file__))


def set_up(admin):
    fields = [("f1", "unsigned"), ("f2", "string"), ("f3", "unsigned"), ("f4", "unsigned")]
    form = [{"name": name, "type": kind} for name, kind in fields]
    form.append({"name": "f5", "type": "*", "is_nullable": True})
    for field in form[2:]:
        field["is_nullable"] = True
    indexes = [
        index("primary", (1, "unsigned")),
        index("txt", (2, "string"), unique=False),
    ]
    make_space(admin, "tester", indexes, id=512, format=form)
    indexes = [
        index("primary", (1, "unsigned")),
        index("primary_hash", (1, "unsigned"), type="hash"),
    ]
    make_space(admin, "no_schema_space", indexes)
    for name, kind in [("dec", "decimal"), ("uuid", "uuid"), ("datetime", "datetime")]:
        second = {"dec": "dec", "uuid": "uuid", "datetime": "dt"}[name]
        form = [{"name": "id", "type": "unsigned"}]
        form.append({"name": second, "type": kind})
        make_space(admin, f"tester_ext_{name}", [index("primary", (1, "unsigned"))], format=form)
    for name in ["t1", "t2"]:
        admin.call("box.schema.user.create", name, {"password": name})
        admin.call("box.schema.user.grant", name, "read,write,execute", "universe")
        admin.call("box.schema.user.grant", name, "create,alter,drop", "universe")


class Instance(Server):
    """In place of asynctnt's own, which starts a Tarantool."""

    bin_version = (3, 0, 0)

    def __init__(self, **_):
        super().__init__(set_up)

    def start(self):
        self.discard()
        super().start()

    @staticmethod
    def get_random_port():
        return 0

    def command(self, lua):
        """The two lines of Lua that the suite has its console run."""
        with contextlib.closing(self.connect()) as admin:
            if made := re.fullmatch(r'make_third_index\("(\w+)"\)', lua):
                name, options = index(made[1], (3, "unsigned"))
                return [[admin.call("box.space.tester:create_index", name, options)[0]["id"]]]
            call = re.fullmatch(r"([\w.]+:drop)\(\)", lua)
            return admin.call(call[1]).data


def with_server(set_up):
    """A test that stops the server and then fails leaves the others without it."""

    def set_up_with_server(self):
        if isinstance(self.tnt, Instance) and not self.tnt.is_started:
            self.tnt.start()
        set_up(self)

    return set_up_with_server


async def truncate(self):
    """What the suite's Lua function of this name does."""
    if self.conn and self.conn.is_connected:
        for space in SPACES:
            await self.conn.call(f"box.space.{space}:truncate", timeout=5)


def main(source, listed):
    limit_time(LIMIT_S)
    os.chdir(source)
    sys.path.insert(0, source)
    asynctnt.instance.TarantoolSyncInstance = Instance
    import tests

    tests.BaseTarantoolTestCase.TNT_APP_LUA_PATH = None
    tests.BaseTarantoolTestCase.truncate = truncate
    tests.BaseTarantoolTestCase.setUp = with_server(tests.BaseTarantoolTestCase.setUp)
    suite = unittest.defaultTestLoader.discover("tests", top_level_dir=source)
    runner = unittest.TextTestRunner(resultclass=Result, verbosity=0)
    return judge(runner.run(suite), listed, TRANSPORT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], os.path.join(HERE, "asynctnt.txt")))
