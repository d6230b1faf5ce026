"""What an attempt takes of its machine, as curves: from the projector, and on with the samples."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import msgspec

from .....core import subjects
from .....core.fleet.samples import Sample
from .....core.ports import BusAway, Stored
from .....core.sdk.live.readings import share_of
from .....core.state import Attempt, Task
from .....core.wire import decode_sample
from ...opening import while_open
from ...points import Curve, Point, finite, moment
from ...source import Answer, Source


class _Quantity(msgspec.Struct, frozen=True):
    """A curve's name, its unit, and by what its readings are divided."""

    name: str
    unit: str
    size: float


_QUANTITIES = {
    "cpu": _Quantity("processors", " %", 1.0),
    "memory": _Quantity("memory", " GiB", 2.0**30),
    "gpu": _Quantity("GPU", " %", 1.0),
    "gpu_memory": _Quantity("GPU memory", " GiB", 2.0**30),
}
"""By its field in a `ShareReading`, which is its column in the answer to `task_machine`."""


class MachineCurves:
    """The curves of a task's last attempt; `moved` is called with those that have a new point."""

    def __init__(self, source: Source, moved: Callable[[Curve], None]) -> None:
        self._source = source
        self._moved = moved
        self._curves: Mapping[str, Curve] = {}
        self._claim: int | None = None
        self._following: asyncio.Task[None] | None = None

    @property
    def curves(self) -> list[Curve]:
        """Those of which anything was measured."""
        return [curve for curve in self._curves.values() if curve.points]

    async def load(self, task: Task) -> bool:
        """Ask for what is known of the last attempt, and go on with it if it is live; false if that
        is done already. Raises `EvqError`."""
        if not task.attempts or task.attempts[-1].claim == self._claim:
            return False
        attempt = task.attempts[-1]
        self.close()
        # Asked first: what comes between the two answers is known twice rather than never.
        after = (await self._source.known("samples_position")).rows[0]["seq"]
        answer = await self._source.known("task_machine", task=task.id, claim=attempt.claim)
        self._claim = attempt.claim
        self._curves = curves_of(answer)
        if task.live:
            following = self._follow(task.id, attempt, after)
            self._following = while_open(following, f"follow the machine of {task.id}")
        return True

    def close(self) -> None:
        """Follow no more."""
        if self._following:
            self._following.cancel()

    async def _follow(self, task: str, attempt: Attempt, after: int) -> None:
        bus, subject = self._source.client.bus, subjects.samples(attempt.agent)
        while True:
            try:
                async with bus.samples.follow(after + 1, [subject]) as batches:
                    async for batch in batches:
                        for stored in batch:
                            self._see(stored, task, attempt.number)
                        after = batch[-1].seq
            except BusAway as away:
                await bus.wait(away)

    def _see(self, stored: Stored, task: str, attempt: int) -> None:
        sample = decode_sample(stored.data)
        if not isinstance(sample, Sample):
            return
        share = share_of(sample, task, attempt)
        for field, quantity in _QUANTITIES.items():
            value = getattr(share, field)
            curve = self._curves[field]
            if value is not None and curve.add(sample.at, None, value / quantity.size):
                self._moved(curve)


def curves_of(answer: Answer) -> dict[str, Curve]:
    """The curves in an answer to `task_machine`."""
    return {
        field: Curve(
            quantity.name,
            [
                _point(moment(row["ts"]), value / quantity.size)
                for row in answer.rows
                if (value := finite(row[field])) is not None
            ],
            quantity.unit,
        )
        for field, quantity in _QUANTITIES.items()
    }


def _point(at: int, value: float) -> Point:
    return Point(at, None, value, value, value)
