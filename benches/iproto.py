"""A client for benchmarks that ask for more than `vestibule bench` does: one request at a time."""

import base64
import hashlib
import struct

from compare import OURS, Failure
from recovery import CALL, REPLACE, SELECT, Client, frame

AUTH, EVAL, PING = 7, 8, 64
SPACE, INDEX, LIMIT, OFFSET, ITERATOR, KEY, TUPLE, NAME, USER, EXPRESSION = (
    0x10, 0x11, 0x12, 0x13, 0x14, 0x20, 0x21, 0x22, 0x23, 0x27)
EQUAL, FROM = 0, 5


def pack(value):
    """MessagePack of what is asked for here."""
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return bytes([value]) if value < 0x80 else b"\xcf" + struct.pack(">Q", value)
    if isinstance(value, str):
        return b"\xdb" + struct.pack(">I", len(value.encode())) + value.encode()
    if isinstance(value, bytes):
        return b"\xd9" + bytes([len(value)]) + value
    if isinstance(value, dict):
        pairs = b"".join(pack(key) + pack(own) for key, own in value.items())
        return bytes([0x80 | len(value)]) + pairs
    return b"\xdc" + struct.pack(">H", len(value)) + b"".join(map(pack, value))


def ping():
    return frame(PING, b"\x80")


def replace(space, row):
    return frame(REPLACE, pack({SPACE: space, TUPLE: row}))


def select(space, index, key, limit, iterator=EQUAL):
    return frame(SELECT, pack({SPACE: space, INDEX: index, LIMIT: limit, OFFSET: 0,
                               ITERATOR: iterator, KEY: key}))


class Peer(Client):
    """A connection whose requests have to be answered without an error.

    What Tarantool's own procedures return can often not be sent, so that there they are called by
    an expression that returns nothing.
    """

    def __init__(self, server):
        super().__init__(server.port)
        self.is_ours = server.name == OURS

    def request(self, name, args):
        if self.is_ours:
            return frame(CALL, pack({NAME: name, TUPLE: args}))
        return frame(EVAL, pack({EXPRESSION: f"{name}(...)", TUPLE: args}))

    def done(self, request, what):
        code, reply = self.ask(request)
        if code:
            raise Failure(f"{what}: error {code}: {reply!r}")
        return reply

    def call(self, name, *args):
        return self.done(self.request(name, list(args)), name)

    def call_all(self, calls, at_a_time=200):
        """Many calls, so many of them under way at a time."""
        for start in range(0, len(calls), at_a_time):
            some = calls[start:start + at_a_time]
            self.socket.sendall(b"".join(self.request(name, args) for name, *args in some))
            for name, *_ in some:
                code, reply = self.receive()
                if code:
                    raise Failure(f"{name}: error {code}: {reply!r}")


def salt_of(greeting):
    """The salt of the second line of a greeting."""
    return base64.b64decode(greeting[64:108])[:20]


def login(user, password, salt):
    """AUTH by chap-sha1."""
    once = hashlib.sha1(password.encode()).digest()
    mask = hashlib.sha1(salt + hashlib.sha1(once).digest()).digest()
    scramble = bytes(left ^ right for left, right in zip(once, mask))
    return frame(AUTH, pack({USER: user, TUPLE: ["chap-sha1", scramble]}))
