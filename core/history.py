"""What a copy of the history is made of, and the words of its transfer.

Whoever keeps a copy asks on `evqsvc.export` with an `Export` and gets a row of messages. Each is
one of `Message` as JSON, but for a `Part`'s own bytes, which follow it in as many messages as they
need. `Contents` comes last.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from .questions import Head


class Reach(msgspec.Struct, frozen=True):
    """How far a table was copied.

    Two copies can be continued by the same rows only if their `lineage` is the same: it changes
    when rows that were there are taken back.
    """

    lineage: str
    upto: int


class Export(msgspec.Struct, frozen=True):
    """The wish for all that came since `have`.

    `whole` names partitions, such as `metrics/day=2026-05-01`, that are wanted anew in one file.
    """

    have: Mapping[str, Reach] = {}
    whole: tuple[str, ...] = ()


class Part(msgspec.Struct, frozen=True, tag="part"):
    """A Parquet file comes: its path in the export, its rows, and its length in bytes."""

    path: str
    rows: int
    size: int


class Working(msgspec.Struct, frozen=True, tag="working"):
    """The next file takes long."""


class Contents(msgspec.Struct, frozen=True, tag="contents"):
    """That was all. What the copy then holds is of one moment.

    `at` is that moment (microseconds since 1970), `streams` how far each stream was read, and
    `replaced` the tables and partitions whose former files are not part of the history any more.
    `views` is the SQL of the views over the files.
    """

    at: int
    version: int
    streams: Mapping[str, int]
    tables: Mapping[str, Reach]
    replaced: tuple[str, ...]
    views: str


Message = Part | Working | Contents

_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def decode_message(data: bytes) -> Message:
    """The message in `data`."""
    return _decoder.decode(data)


class Refusal(msgspec.Struct, frozen=True):
    """Why an export does not answer; `kind` is the error's class."""

    kind: str
    what: str
    why: str
    fix: str


class Word(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an export's answer has beside lists of rows: first its head, then pieces of its Parquet
    file if that was asked for, and last an end, which has nothing, or a refusal."""

    head: Head | None = None
    file: bytes = b""
    refusal: Refusal | None = None
