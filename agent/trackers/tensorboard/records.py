"""The records of an event file: each has its length before it, and a checksum of both.

    8 bytes  length, 4 bytes  its checksum, the record, 4 bytes  the record's checksum

All numbers begin with their lowest byte; a checksum is CRC-32C, masked so that it may itself be
in what is checked.
"""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path

import google_crc32c

LARGEST = 8 * 2**20
"""Bytes of a record that is read. Larger ones are pictures and graphs, and are passed over."""

_HEAD, _TAIL = 12, 4
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Damaged(Exception):
    """Bytes that are no record."""

    def __init__(self, at: int) -> None:
        super().__init__(f"it is damaged at byte {at}")


class EventFile:
    """One file, and how far it was read."""

    def __init__(self, path: Path, within: Path) -> None:
        """A link that leads out of `within`, a real path, is not followed, wherever it is."""
        self.path = path
        self._within = within
        self._at = 0

    def read(self) -> list[bytes]:
        """The next records, some MiB of them at most; none if nothing is new.

        What a writer has not written to its end is waited for. A file that became shorter is
        read from its begin again. Raises `Damaged`, and goes on behind the damage nowhere; and
        `OSError`.
        """
        descriptor = os.open(self.path, _OPEN)
        try:
            found = os.fstat(descriptor)
            if not Path(os.readlink(f"/proc/self/fd/{descriptor}")).is_relative_to(self._within):
                raise PermissionError(f"a link leads out of {self._within}")
            if not stat.S_ISREG(found.st_mode):
                return []
            if found.st_size < self._at:
                self._at = 0
            return self._take(descriptor, found.st_size)
        finally:
            os.close(descriptor)

    def _take(self, descriptor: int, size: int) -> list[bytes]:
        data = memoryview(os.pread(descriptor, _HEAD + LARGEST + _TAIL, self._at))
        records: list[bytes] = []
        at = 0
        while len(data) - at >= _HEAD:
            length, checksum = struct.unpack_from("<QI", data, at)
            if checksum != masked(data[at : at + 8]):
                if records:
                    break  # the damage is met again, and told then
                raise Damaged(self._at)
            end = at + _HEAD + length + _TAIL
            if length > LARGEST:
                if self._at + end > size:
                    break
                at = end
                break
            if end > len(data):
                break
            record = data[at + _HEAD : end - _TAIL]
            if data[end - _TAIL : end] != struct.pack("<I", masked(record)):
                if records:
                    break
                raise Damaged(self._at)
            records.append(bytes(record))
            at = end
        self._at += at
        return records


def masked(data: memoryview) -> int:
    """The checksum of `data`."""
    plain: int = google_crc32c.value(bytes(data))
    return ((plain >> 15 | plain << 17) + 0xA282EAD8) & 0xFFFFFFFF
