"""How attempts ended, kept on disk until the log has it.

An agent that dies while the server is away leaves its results here; the next one of its name
hands them in. The log decides whether they still count.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import msgspec

from ...core.author import Author
from ...core.bus.connect import Bus
from ...core.decide import Finish, GiveBack, Rejected
from ...core.errors import NotFound
from ...core.handle import handle, load

log = logging.getLogger(__name__)


class Result(msgspec.Struct, frozen=True):
    """The end of an attempt of the task that was enqueued at `origin`."""

    origin: int
    finish: Finish | None = None
    given_back: GiveBack | None = None

    @classmethod
    def of(cls, origin: int, end: Finish | GiveBack) -> Result:
        """The end as it is kept."""
        return cls(origin, end) if isinstance(end, Finish) else cls(origin, given_back=end)


class Results:
    """A folder with one file per result that is not in the log yet."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._kept: set[str] = set()

    def has(self, name: str) -> bool:
        """Whether a result is written down."""
        return name in self._kept

    def keep(self, name: str, result: Result) -> None:
        """Write the result down, whole or not at all."""
        self._kept.add(name)
        path = self._folder / f"{name}.json"
        partial = path.with_suffix(".part")
        with partial.open("wb") as file:
            file.write(msgspec.json.encode(result))
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)

    def forget(self, name: str) -> None:
        """The log has it, or does not want it."""
        if name in self._kept:
            self._kept.discard(name)
            (self._folder / f"{name}.json").unlink(missing_ok=True)

    async def hand_in(self, bus: Bus, author: Author) -> None:
        """Append what an earlier process of this agent could not. Raises `BusAway`."""
        for path in sorted(self._folder.glob("*.json")):
            try:
                result = msgspec.json.decode(path.read_bytes(), type=Result)
                task = await load(bus.log, result.origin)
                if end := result.finish or result.given_back:
                    await handle(bus.log, author, task, end)
                log.info("handed in the result of task %s", task.id)
            except (Rejected, NotFound, msgspec.DecodeError) as error:
                log.warning("the result %s counts no more: %s", path.name, error)
            path.unlink(missing_ok=True)
