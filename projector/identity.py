"""Whether a stream is the one that was read before, and what it has lost since then."""

from __future__ import annotations

from ..core.errors import Conflict
from ..core.subjects import SAMPLES_STREAM, TELEMETRY_STREAM
from .samples.write import forget_samples_after
from .store import REBUILD, Position
from .telemetry import forget_after

FORGET = {TELEMETRY_STREAM: forget_after, SAMPLES_STREAM: forget_samples_after}
"""How what a stream has lost is undone. The lifecycle stream loses nothing."""


def is_shorter(name: str, known: Position, now: Position) -> bool:
    """Whether a stream lost its end, as those do that wait for no disk when a server is killed."""
    return name in FORGET and known.created == now.created and known.seq > now.seq


def check_identity(name: str, known: Position, now: Position) -> None:
    """Raise `Conflict` unless a stream is the one that was read before."""
    if known.created == now.created and known.seq <= now.seq:
        return
    why = (
        f"it was made at {now.created}, the one that was read at {known.created}"
        if known.created != now.created
        else f"it ends at {now.seq}, and {known.seq} was read already"
    )
    raise Conflict(
        f"the stream {name} is not the one that the database was made from",
        why=why,
        fix=f"{REBUILD} makes a new database from this stream",
    )
