"""The last values of a task's metrics, read from what it said."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import aclosing

from ...core.ports import BusAway
from ...core.sdk.client import Client
from ...core.sdk.following import telemetry_of
from ...core.state import Task
from .definition import Definition
from .graph import taken


def wanted(definition: Definition, step: str) -> frozenset[str]:
    """The metrics of a step that others take."""
    return frozenset(
        one.path[2]
        for other in definition.steps.values()
        for one in taken(other)
        if one.step == step and one.path[1:2] == ("metrics",)
    )


async def last_values(client: Client, task: Task, names: Collection[str]) -> dict[str, float | str]:
    """The last value of each of these metrics that the task's last attempt logged."""
    found: dict[str, float | str] = {}
    if not names or not task.attempts:
        return found
    subject, claim = telemetry_of(task), task.attempts[-1].claim
    last = await _last(client, subject)
    if not last:
        return found
    async with aclosing(client.watch_metrics(0, (subject,))) as measured:
        async for one in measured:
            record = one.record
            if record.claim == claim:
                points = zip(record.name, record.value, strict=True)
                found |= {name: value for name, value in points if name in names}
            if one.seq >= last:
                return found
    return found


async def _last(client: Client, subject: str) -> int:
    while True:
        try:
            stored = await client.bus.telemetry.last(subject)
            return stored.seq if stored else 0
        except BusAway as away:
            await client.bus.wait(away)
