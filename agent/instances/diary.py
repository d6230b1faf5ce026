"""A run's own file: which queue messages its slots work on, and whether any process of it lives.

The file is locked (flock) by the agent, and by the forkserver and all supervisors, which inherit
it. So the kernel tells when the last process of a run is dead, however the run ended: then, and
not before, its attempts may be declared lost. Nothing is forced to the disk: what a power cut
loses is found out by the lease, as on another machine.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

RUNS = "runs"
"""The folder of these files, in an agent's own."""

PAGE = 512
"""Bytes for the note of one slot."""


class Note(msgspec.Struct, frozen=True, omit_defaults=True):
    """A slot's queue message: its sequence, and the token that hands it back to its queue."""

    hint: int
    token: str = ""


class Diary:
    """The file of the present run."""

    def __init__(self, folder: Path, instance: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / instance
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self.descriptor = os.open(self._path, flags, 0o600)
        """For the processes that end no sooner than the attempts of this run."""
        fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def begin(self, slot: int, note: Note) -> None:
        """The slot is about to claim the task of a queue message."""
        data = msgspec.json.encode(note)
        if len(data) > PAGE:
            data = msgspec.json.encode(Note(note.hint))
        os.pwrite(self.descriptor, data.ljust(PAGE), slot * PAGE)

    def over(self) -> None:
        """This run ends in order: it leaves nothing to be settled."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let the file go."""
        os.close(self.descriptor)


class Former:
    """The file of a run before this one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.instance = path.name

    @property
    def lives(self) -> bool:
        """Whether a process of that run is not dead yet. Once false, false for ever."""
        with suppress(FileNotFoundError), self._path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def notes(self) -> Iterator[Note]:
        """What its slots worked on last."""
        with suppress(FileNotFoundError):
            data = self._path.read_bytes()
            for start in range(0, len(data), PAGE):
                with suppress(msgspec.DecodeError):
                    yield msgspec.json.decode(data[start : start + PAGE].strip(b"\0 "), type=Note)

    def forget(self) -> None:
        """Its attempts are over in the log."""
        self._path.unlink(missing_ok=True)


def former(folder: Path, instance: str) -> list[Former]:
    """The runs before `instance` that were not settled yet."""
    return [Former(path) for path in sorted(folder.glob("*")) if path.name != instance]
