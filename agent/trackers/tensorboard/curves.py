"""Reads an attempt's event files while its command runs, and once more at its end."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ...reporting.channel import Words
from .finding import Finder
from .naming import Prefixes

if TYPE_CHECKING:
    from .series import Series

log = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds between two looks, at least."""

SHARE = 20
"""Times as long as a look took is the pause after it, so that it takes 5 % of a processor."""

AT_ONCE = 2000
"""Words that one look brings, before the event loop has a turn."""

SLICE = 200

LAST_SECONDS = 60.0
"""How long the last look may take, in which a task's leftovers are read."""


class Source:
    """A folder in which event files are looked for."""

    def __init__(
        self, root: Path, since: int, within: Path | None = None, *, named: bool = False
    ) -> None:
        """`since` is the `file_time` when the command began; `named` says that the user named
        the folder. No link is followed out of `within`, a real path, or else out of the folder."""
        self.finder = Finder(root, since)
        self._within = within
        self._prefixes = Prefixes(root, named=named)
        self._series: list[Series] = []

    def read(self, complain: Callable[[str], None]) -> Iterator[Words]:
        """What is new in all files."""
        for path in self.finder.look():
            within = self._within or self.finder.root.resolve()
            self._series.append(_series(path, within, self._prefixes.of(path.parent)))
        for one in list(self._series):
            yield from one.read()
            if one.over:
                self._series.remove(one)
                where = one.path.relative_to(self.finder.root)
                complain(f"{where} is not read any further: {one.over}")


def _series(path: Path, within: Path, prefix: str) -> Series:
    from .series import Series  # 50 ms that only tasks with event files pay

    return Series(path, within, prefix)


class Curves:
    """All event files of an attempt, from the start of its command to its end."""

    def __init__(
        self, sources: list[Source], heard: Callable[[Words], None], say: Callable[[str], None]
    ) -> None:
        self._sources = sources
        self._heard = heard
        self._say = say
        self._complaints: list[str] = []
        self._told_overfull = False
        self._over = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        # A short task pays for no more than this timer.
        self._timer = asyncio.get_running_loop().call_later(PAUSE, self._begin)

    def _begin(self) -> None:
        self._looking = asyncio.ensure_future(self._look_again_and_again())

    async def _look_again_and_again(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            await self._look()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(PAUSE, SHARE * (time.monotonic() - began))):
                    await self._over.wait()

    async def finish(self) -> None:
        """Read what is left. To be called when nobody writes any more."""
        self._timer.cancel()
        if self._looking or any(map(_holds_something, self._sources)):
            await self._read_the_rest()

    async def _read_the_rest(self) -> None:
        self._over.set()
        try:
            async with asyncio.timeout(LAST_SECONDS):
                if self._looking:
                    await self._looking
                await self._look()
        except TimeoutError:
            self._say(f"event files were not read to their end within {LAST_SECONDS:g} s")
        except Exception:
            # What a task writes for TensorBoard must not decide how it ends.
            log.exception("event files were not read to their end")

    async def _look(self) -> None:
        words = self._new_words()
        while some := await asyncio.to_thread(_some, words):
            for start in range(0, len(some), SLICE):
                for one in some[start : start + SLICE]:
                    self._heard(one)
                await asyncio.sleep(0)
        complaints, self._complaints = self._complaints, []
        for complaint in complaints:
            self._say(complaint)

    def _new_words(self) -> Iterator[Words]:
        for source in self._sources:
            yield from source.read(self._complaints.append)
            if source.finder.overfull and not self._told_overfull:
                self._told_overfull = True
                self._complaints.append("there are more folders or event files than are looked at")


def _some(words: Iterator[Words]) -> list[Words]:
    return list(islice(words, AT_ONCE))


def _holds_something(source: Source) -> bool:
    try:
        with os.scandir(source.finder.root) as entries:
            return next(entries, None) is not None
    except OSError:
        return False
