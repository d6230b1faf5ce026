"""What happens to everything, read from the log itself: no projector is needed.

Who keeps the sequence of what it saw last goes on there, however long it was away.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING

import msgspec

from .. import wire
from ..events import Envelope, Metric
from ..subjects import LIFECYCLE_SUBJECTS, TELEMETRY_SUBJECTS, parse_hint, parse_lifecycle
from ..subjects import parse_telemetry as speaker

if TYPE_CHECKING:
    from ..bus.connect import Bus


class Seen(msgspec.Struct, frozen=True):
    """An event at its sequence in the log, and the task that it is about; null if it is about
    something else."""

    seq: int
    subject: str
    task: str | None
    envelope: Envelope


class Measured(msgspec.Struct, frozen=True):
    """Points of a task's metrics, at their sequence among what tasks say.

    Those of an attempt whose claim does not count any more are told, too: `record.claim` tells.
    """

    seq: int
    task: str
    record: Metric


async def watch(
    bus: Bus, after: int = 0, subjects: Sequence[str] = (LIFECYCLE_SUBJECTS,)
) -> AsyncGenerator[Seen, None]:
    """Every event behind the sequence `after`, and then each new one, for ever.

    `subjects` are NATS patterns, such as `evq.t.QUEUE.*` for what happens to the tasks of a queue.
    Events of a newer evq are left out.
    """
    async with bus.log.follow(after + 1, subjects) as batches:
        async for batch in batches:
            for stored in batch:
                message = wire.decode(stored.data)
                if isinstance(message, Envelope):
                    yield Seen(stored.seq, stored.subject, _task(stored.subject), message)


async def watch_metrics(
    bus: Bus, after: int = 0, subjects: Sequence[str] = (TELEMETRY_SUBJECTS,)
) -> AsyncGenerator[Measured, None]:
    """The points of metrics behind the sequence `after`, and then new ones as they come, for ever.

    `subjects` are NATS patterns, such as `evqtel.QUEUE.TASK.*` for what one task says.
    """
    async with bus.telemetry.follow(after + 1, subjects) as batches:
        async for batch in batches:
            for stored in batch:
                record = wire.decode_telemetry(stored.data)
                place = speaker(stored.subject)
                if place and isinstance(record, Metric):
                    yield Measured(stored.seq, place[1], record)


def _task(subject: str) -> str | None:
    if place := parse_lifecycle(subject):
        return place[1]
    hint = parse_hint(subject)
    return hint.task if hint else None
