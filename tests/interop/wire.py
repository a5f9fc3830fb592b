"""IPROTO by hand, for what a connector never puts on the wire: many requests in one send, odd
frames, keys that no connector sends."""

import socket

import msgpack

# Header and body keys, request types.
TYPE, SYNC, SCHEMA_VERSION = 0x00, 0x01, 0x05
SPACE_ID, INDEX_ID, LIMIT, OFFSET, ITERATOR, KEY, TUPLE = 0x10, 0x11, 0x12, 0x13, 0x14, 0x20, 0x21
DATA, ERROR_TEXT, ERROR_STACK, VERSION, FEATURES, AUTH_TYPE, INDEX_NAME = (
    0x30,
    0x31,
    0x52,
    0x54,
    0x55,
    0x5B,
    0x5F,
)
SELECT, INSERT, REPLACE, PING, ID = 1, 2, 3, 64, 73

ERROR_FLAG = 0x8000


class Reply:
    def __init__(self, header, body):
        self.code = header[TYPE]
        self.sync = header[SYNC]
        self.header = header
        self.body = body

    @property
    def error(self):
        """(code, text) of an error reply, None of another."""
        return (
            (self.code & ~ERROR_FLAG, self.body[ERROR_TEXT]) if self.code & ERROR_FLAG else None
        )


def payload(type_, sync, body=None, **header):
    packed = msgpack.packb(
        {TYPE: type_, SYNC: sync, **{int(key): value for key, value in header.items()}}
    )
    return packed if body is None else packed + msgpack.packb(body)


def frame(type_, sync, body=None, schema_version=None):
    header = {} if schema_version is None else {str(SCHEMA_VERSION): schema_version}
    content = payload(type_, sync, body, **header)
    return b"\xce" + len(content).to_bytes(4, "big") + content


class Peer:
    """A socket that has read its greeting."""

    def __init__(self, host, port, timeout=10):
        self.socket = socket.create_connection((host, port), timeout=timeout)
        self.greeting = self._exactly(128)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        prefix = self._exactly(5)
        # Every connector relies on this one form of the length.
        assert prefix[0] == 0xCE, f"a reply must begin with 0xce, not {prefix[0]:#x}"
        content = self._exactly(int.from_bytes(prefix[1:], "big"))
        unpacker = msgpack.Unpacker(raw=False, strict_map_key=False)
        unpacker.feed(content)
        parts = list(unpacker)
        assert len(parts) == 2, f"wanted header and body, got {parts!r}"
        return Reply(*parts)

    def ask(self, type_, sync, body=None, schema_version=None):
        self.send(frame(type_, sync, body, schema_version))
        reply = self.receive()
        assert reply.sync == sync, f"sync {reply.sync} instead of {sync}"
        return reply

    def at_end(self):
        """Waits for the server to close."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _exactly(self, size):
        data = bytearray()
        while len(data) < size:
            piece = self.socket.recv(min(size - len(data), 1 << 16))
            assert piece, f"the server closed after {len(data)} of {size} bytes"
            data += piece
        return bytes(data)
