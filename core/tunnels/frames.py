"""The frames of a tunnel: TCP connections, each with a number, over one pair of subjects.

A frame is 9 bytes of head and what it carries. The head counts the frames of its direction: core
NATS may lose messages when a connection to it breaks, and a connection with a hole must not go on.
"""

from __future__ import annotations

import struct

import msgspec

CHUNK = 128 * 1024
"""Bytes of a connection that travel in one frame at most, well below NATS' 1 MB for a message."""

_HEAD = struct.Struct(">BII")
_NUMBER = struct.Struct(">I")


class Open(msgspec.Struct, frozen=True):
    """Somebody connected to the near end: connect to the port, under this number."""

    connection: int


class Data(msgspec.Struct, frozen=True):
    """Bytes of a connection."""

    connection: int
    data: bytes


class Finish(msgspec.Struct, frozen=True):
    """Nothing more comes in this direction; the other one goes on."""

    connection: int


class Credit(msgspec.Struct, frozen=True):
    """So many bytes were passed on: as many may be sent beyond those that were allowed."""

    connection: int
    count: int


class Close(msgspec.Struct, frozen=True):
    """The connection is broken off, in both directions; why, for people."""

    connection: int
    reason: str


class Ping(msgspec.Struct, frozen=True):
    """This end is there."""


class Welcome(msgspec.Struct, frozen=True):
    """The agent's first frame: where it hears ours, which attempt it leads to, and the token that
    a program at the port may ask for."""

    subject: str
    attempt: int
    token: str


class End(msgspec.Struct, frozen=True):
    """The tunnel is over, or was refused: an error as it is told. `over` says that it was there
    and its attempt has ended."""

    what: str
    why: str = ""
    fix: str = ""
    over: bool = False


Frame = Open | Data | Finish | Credit | Close | Ping | Welcome | End

_OPEN, _DATA, _FINISH, _CREDIT, _CLOSE, _PING, _WELCOME, _END = range(8)


class Garbled(ValueError):
    """Bytes that are no frame."""


def encode(number: int, frame: Frame) -> bytes:
    """The frame as bytes; `number` is how many went before it in its direction."""
    match frame:
        case Data(connection, data):
            return _HEAD.pack(_DATA, number, connection) + data
        case Open(connection):
            return _HEAD.pack(_OPEN, number, connection)
        case Finish(connection):
            return _HEAD.pack(_FINISH, number, connection)
        case Credit(connection, count):
            return _HEAD.pack(_CREDIT, number, connection) + _NUMBER.pack(count)
        case Close(connection, reason):
            return _HEAD.pack(_CLOSE, number, connection) + reason.encode()
        case Ping():
            return _HEAD.pack(_PING, number, 0)
        case Welcome():
            return _HEAD.pack(_WELCOME, number, 0) + msgspec.json.encode(frame)
        case End():
            return _HEAD.pack(_END, number, 0) + msgspec.json.encode(frame)


def decode(data: bytes) -> tuple[int, Frame]:
    """A frame, and how many went before it. Raises `Garbled`."""
    try:
        kind, number, connection = _HEAD.unpack_from(data)
        return number, _decode(kind, connection, data[_HEAD.size :])
    except (struct.error, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Garbled(f"no frame of a tunnel: {error}") from error


def _decode(kind: int, connection: int, rest: bytes) -> Frame:
    if kind == _DATA:
        return Data(connection, rest)
    if kind == _CREDIT:
        return Credit(connection, *_NUMBER.unpack(rest))
    if kind == _OPEN:
        return Open(connection)
    if kind == _FINISH:
        return Finish(connection)
    if kind == _CLOSE:
        return Close(connection, rest.decode())
    if kind == _PING:
        return Ping()
    if kind == _WELCOME:
        return msgspec.json.decode(rest, type=Welcome)
    if kind == _END:
        return msgspec.json.decode(rest, type=End)
    raise Garbled(f"a frame of kind {kind}, which this version does not know")
