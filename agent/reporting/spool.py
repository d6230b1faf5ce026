"""Records that wait on disk while the server is away: bounded, in order, safe to tear.

One file per agent. A record is a line: a checksum and a JSON array of subject, id and data. A
line that a crash tore off fails its checksum and is passed over.
"""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec


class Record(msgspec.Struct, frozen=True, array_like=True):
    """A message for the telemetry stream."""

    subject: str
    id: str
    data: str


_decoder = msgspec.json.Decoder(Record)


class Spool:
    """A file of records, written at its end and read from its beginning."""

    def __init__(self, path: Path, limit: int) -> None:
        """`limit` is in bytes; a record that would pass it is refused."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._limit = limit
        # Unbuffered: of a write that fails, nothing must come out later.
        self._write = path.open("ab", buffering=0)
        self._read: IO[bytes] = path.open("rb")
        self._end_torn_line()

    def _end_torn_line(self) -> None:
        """What is written next must not become part of a line that a crash tore off."""
        end = self._write.tell()
        if end and os.pread(self._read.fileno(), 1, end - 1) != b"\n":
            self._write.write(b"\n")

    @property
    def empty(self) -> bool:
        """Whether all that was written has been read."""
        return self._read.tell() >= self._write.tell()

    def add(self, record: Record) -> bool:
        """Write a record; False if there is no room for it."""
        line = _line(record)
        end = self._write.tell()
        if end + len(line) > self._limit:
            return False
        with suppress(OSError):
            if self._write.write(line) == len(line):
                return True
        # The disk is full, perhaps in the middle of the line.
        self._write.truncate(end)
        self._write.seek(end)
        return False

    def put_before(self, records: Iterable[Record]) -> bool:
        """Write records ahead of all that were not read yet; False, and nothing, without room."""
        head = b"".join(map(_line, records))
        at = self._read.tell()
        if len(head) + self._write.tell() - at > self._limit:
            return False
        partial = self._path.with_suffix(".part")
        try:
            with partial.open("wb") as file:
                file.write(head)
                shutil.copyfileobj(self._read, file)
            os.replace(partial, self._path)
        except OSError:
            self._read.seek(at)
            return False
        self._write.close()
        self._read.close()
        self._write = self._path.open("ab", buffering=0)
        self._read = self._path.open("rb")
        return True

    def take(self, limit: int) -> list[Record]:
        """Up to `limit` of the oldest records that were not read yet."""
        found: list[Record] = []
        while len(found) < limit and (line := self._read.readline()):
            if not line.endswith(b"\n"):
                self._read.seek(-len(line), 1)
                break
            record = _parse(line)
            if record:
                found.append(record)
        return found

    def clear(self) -> None:
        """Forget all records: they have arrived."""
        self._write.truncate(0)
        self._write.seek(0)
        self._read.seek(0)

    def close(self) -> None:
        """Close the file; an empty one is removed."""
        empty = self._write.tell() == 0
        self._write.close()
        self._read.close()
        if empty:
            self._path.unlink(missing_ok=True)


def _line(record: Record) -> bytes:
    body = msgspec.json.encode(record)
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _parse(line: bytes) -> Record | None:
    checksum, _, body = line.rstrip(b"\n").partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(body):
            return None
        return _decoder.decode(body)
    except (ValueError, msgspec.DecodeError):
        return None
