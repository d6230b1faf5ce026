"""One event file as words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...reporting.channel import Words
from .records import Damaged, EventFile
from .scalars import Scalars


class Series:
    """A file that is read as it grows."""

    def __init__(self, path: Path, within: Path, prefix: str) -> None:
        self.path = path
        self.over = ""
        """Why nothing more is to be expected of it."""
        self._file = EventFile(path, within)
        self._scalars = Scalars(prefix)

    def read(self) -> Iterator[Words]:
        """What is new in it."""
        try:
            while records := self._file.read():
                yield from filter(None, map(self._scalars.words, records))
        except (Damaged, OSError) as error:
            self.over = str(error)
