"""Why tasks wait and when they start, for the first of each queue: the words of `evq why`.

Each costs some questions and some reckoning, so that they are found for those in front alone, in a
thread, and for all pages together.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import msgspec

from .....core.errors import EvqError
from .....core.sdk.client import Client
from .....core.sdk.waiting import explanation_of, facts_of
from .....core.words.phrases import span

FRESH_SECONDS = 10.0
"""For so long words are good, unless the task has moved."""

KEPT = 2_000


class Words(msgspec.Struct, frozen=True):
    """Why a task waits, and when it is expected to start; `start` is empty if nobody can say."""

    reason: str
    start: str


class WaitingWords:
    """Words about tasks that wait, as they were found last."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._found: dict[str, tuple[float, int, Words]] = {}
        self._one_by_one = asyncio.Lock()

    def known(self, task: str) -> Words:
        """What was found last of a task; empty words if nothing was."""
        return self._found[task][2] if task in self._found else Words("", "")

    async def find(self, tasks: Iterable[tuple[str, int]]) -> bool:
        """Find words for tasks at their places, in their order; whether any have changed."""
        changed = False
        async with self._one_by_one:
            for task, place in tasks:
                before = self._found.get(task)
                if before and before[1] == place and time.monotonic() - before[0] < FRESH_SECONDS:
                    continue
                words = await self._ask(task)
                changed = changed or before is None or before[2] != words
                self._found.pop(task, None)
                self._found[task] = (time.monotonic(), place, words)
        for old in list(self._found)[: max(0, len(self._found) - KEPT)]:
            del self._found[old]
        return changed

    async def _ask(self, task: str) -> Words:
        try:
            facts = await facts_of(self._client, await self._client.get(task))
        except EvqError:
            return Words("", "")
        found = await asyncio.to_thread(explanation_of, facts, [])
        if found.waits is None:
            return Words("", "")
        start = found.start
        if start is None:
            return Words(found.waits.text, "")
        if start.high < 1:
            return Words(found.waits.text, "now")
        return Words(
            found.waits.text, f"{span(start.seconds)} ({span(start.low)}–{span(start.high)})"
        )
