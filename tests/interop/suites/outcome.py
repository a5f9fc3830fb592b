"""A suite's results against the list of what is out of scope: both ways."""

import os
import unittest


class Result(unittest.TextTestResult):
    """Collects what became of each test, by its name."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.passed, self.failed, self.skipped_names = set(), {}, {}

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed.add(test.id())

    def addError(self, test, err):
        super().addError(test, err)
        self.failed[test.id()] = err[1]

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.failed[test.id()] = err[1]

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.failed[test.id()] = err[1]

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        if hasattr(test, "test_case"):
            return  # one case of a test that goes on
        self.skipped_names[test.id()] = reason


def read_list(path):
    """`name: reason` for each test that is out of scope."""
    listed = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            name, _, reason = line.partition(": ")
            if not reason or name in listed:
                raise SystemExit(f"{path}: no reason, or twice: {line}")
            listed[name] = reason
    return listed


def lists(path, transport):
    """The list of a suite, and that of what is out of scope by this transport alone, if any is."""
    own = path.replace(".txt", f".{transport}.txt")
    return [path, own] if os.path.exists(own) else [path]


def judge(result, path, transport="tcp", modules=None):
    """Tells what is wrong with the results, of these modules if not all were run; returns whether
    anything is."""
    listed = {}
    for own in lists(path, transport):
        listed.update(read_list(own))
    if modules is not None:
        listed = {name: why for name, why in listed.items() if any(own in name for own in modules)}
    passed = result.passed - result.failed.keys()
    seen = passed | result.failed.keys() | result.skipped_names.keys()
    wrong = []
    for name, error in sorted(result.failed.items()):
        if name not in listed:
            wrong.append(f"{name} failed: {error!r}")
    for name, reason in sorted(result.skipped_names.items()):
        if name not in listed:
            wrong.append(f"{name} was skipped: {reason}")
    for name in sorted(listed):
        if name in passed:
            wrong.append(f"{name} passed, though it is listed as out of scope")
        elif name not in seen:
            wrong.append(f"{name} is listed, and there is no such test")
    if not passed:
        wrong.append("no test passed")
    for line in wrong:
        print("WRONG", line)
    skipped = len(result.skipped_names)
    print(f"{len(passed)} passed, {len(result.failed)} out of scope or wrong, {skipped} skipped")
    return bool(wrong)
