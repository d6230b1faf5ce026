"""Retention on request: a person, a service or the projector itself says what is too old."""

from __future__ import annotations

import msgspec

from .. import subjects, wire
from ..bus.connect import Bus
from ..errors import UsageError
from ..ports import Entry
from ..retention import Trimmed
from .author import Author, now


class Ages(msgspec.Struct, frozen=True):
    """How old, in seconds, what is to go must be; null for what is to stay."""

    metrics: float | None = None
    logs: float | None = None
    minutes: float | None = None

    def __bool__(self) -> bool:
        return any(age is not None for age in msgspec.structs.astuple(self))

    def moments(self, at: int) -> dict[str, int | None]:
        """The moments, in microseconds since 1970, if it is `at` now."""
        return {
            name: None if age is None else at - round(age * 1e6)
            for name, age in msgspec.structs.asdict(self).items()
        }


async def trim(bus: Bus, author: Author, ages: Ages, reason: str, at: int | None = None) -> int:
    """Append the event that makes what is older go; its sequence.

    Ages count back from `at`, in microseconds since 1970, or from now. The projector carries it
    out; it needs not be there now. Raises `UsageError` for no ages.
    """
    if not ages:
        raise UsageError("nothing is to go", why="no age was named", fix="evq trim --logs 90d")
    end = (await bus.telemetry.info()).state.last_seq
    event = Trimmed(reason=reason, telemetry=end, **ages.moments(at or now()))
    envelope = author.envelope(event)
    entry = Entry(subjects.HISTORY_EVENTS, wire.encode(envelope), envelope.id)
    return await bus.log.append(entry)
