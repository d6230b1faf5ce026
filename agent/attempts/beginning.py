"""When the log hears that a command runs: after a moment, or with its end if that comes sooner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from ...core import events
from ...core.decide import ClaimLost, Command, Finish, GiveBack, Start
from .. import writing

BRIEF = 0.005
"""Seconds that a command must live for its start to be an event of its own. A shorter one is
told of by its end: one forced write less where writes are what limits the rate of tasks."""


class Beginning:
    """The word of a command's start."""

    def __init__(
        self,
        write: Callable[[Command], Coroutine[Any, Any, events.Lifecycle]],
        keep: Callable[[Command], None],
    ) -> None:
        """`write` brings a command into the log, `keep` puts one on the disk."""
        self._write = write
        self._keep = keep
        self._timer: asyncio.TimerHandle | None = None
        self._telling: asyncio.Future[events.Lifecycle] | None = None

    def tell_soon(self, start: Start) -> None:
        """Tell of it unless `tell_no_more` is sooner."""
        self._timer = asyncio.get_running_loop().call_later(BRIEF, self._tell, start)

    def tell_no_more(self) -> None:
        """The command has ended: what was not told is part of its end."""
        assert self._timer
        self._timer.cancel()

    def _tell(self, start: Start) -> None:
        self._telling = asyncio.ensure_future(self._write(start))

    async def told(self, end: Finish | GiveBack | None) -> Finish | GiveBack | None:
        """`end`, once a start that is being written stands in the log."""
        if self._telling is None:
            return end
        try:
            _, under_way = await asyncio.wait((self._telling,), timeout=writing.KEEP_AFTER)
            if under_way and end:
                self._keep(end)
            await self._telling
        except ClaimLost:
            return None
        return end
