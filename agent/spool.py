"""Records that wait on disk while the server is away: bounded, in order, safe to tear.

One file per agent. A record is a line: a checksum and a JSON array of subject, id and data. A
line that a crash tore off fails its checksum and is passed over.
"""

from __future__ import annotations

import zlib
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
        self._write: IO[bytes] = path.open("ab")
        self._read: IO[bytes] = path.open("rb")

    @property
    def empty(self) -> bool:
        """Whether all that was written has been read."""
        return self._read.tell() >= self._write.tell()

    def add(self, record: Record) -> bool:
        """Write a record; False if there is no room for it."""
        body = msgspec.json.encode(record)
        line = b"%08x %s\n" % (zlib.crc32(body), body)
        if self._write.tell() + len(line) > self._limit:
            return False
        try:
            self._write.write(line)
            self._write.flush()
        except OSError:
            return False
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


def _parse(line: bytes) -> Record | None:
    checksum, _, body = line.rstrip(b"\n").partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(body):
            return None
        return _decoder.decode(body)
    except (ValueError, msgspec.DecodeError):
        return None
