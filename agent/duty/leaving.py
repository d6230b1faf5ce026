"""How long an agent that was told to stop waits for its tasks, and what it does without a server.

Its tasks may run on for the drain's timeout, without end if there is none; then they are given
back. A server that has been away for a lease is not waited for: by then its tasks stand frozen,
and others may have them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Protocol

from ..means import Means

log = logging.getLogger(__name__)


class Ending(Protocol):
    """An attempt, as far as the end of its agent is concerned."""

    async def without_processes(self) -> None:
        """Return when no command of it runs."""
        ...

    def leave_word(self) -> None:
        """Put on disk how it ended, for the agent's next start."""
        ...


class Leaving:
    """The end of one agent."""

    def __init__(
        self,
        means: Means,
        tasks: Collection[asyncio.Task[None]],
        attempts: Callable[[], Collection[Ending]],
        give_back: Callable[[], None],
    ) -> None:
        """`tasks` is all that the agent still does, `attempts` gives those that have not ended."""
        self._means = means
        self._tasks = tasks
        self._attempts = attempts
        self._give_back = give_back

    async def run(self) -> None:
        """Return when nothing is left to do, or nothing that could be done without the server."""
        minding = [asyncio.ensure_future(part) for part in (self._mind_time(), self._mind_server())]
        try:
            while self._tasks:
                done, _ = await asyncio.wait(
                    (*self._tasks, *minding), return_when=asyncio.FIRST_COMPLETED
                )
                for part in minding:
                    if part in done:
                        part.result()
                        minding.remove(part)
        finally:
            for part in minding:
                part.cancel()
            await asyncio.gather(*minding, return_exceptions=True)

    async def _mind_time(self) -> None:
        if (seconds := self._means.config.drain_timeout) is None:
            return
        await asyncio.sleep(seconds)
        log.info("the drain's timeout is over: giving the running tasks back")
        self._give_back()

    async def _mind_server(self) -> None:
        keeper, config = self._means.keeper, self._means.config
        while True:
            if (rest := config.lease - keeper.silence) > 0:
                await asyncio.sleep(rest)
                continue
            if config.on_disconnect != "run":
                self._give_back()
            for attempt in list(self._attempts()):
                await attempt.without_processes()
            if keeper.silence > config.lease:
                break  # it has not come back meanwhile, so that nothing can be told
        log.warning("the server has been away for a lease: ending without it")
        for attempt in self._attempts():
            attempt.leave_word()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
