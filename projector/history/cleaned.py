"""Of which attempts something goes, as it is written down."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ...core.events import Cleaned


class CleanedRow(msgspec.Struct, frozen=True):
    """An attempt of which something goes."""

    claim: int
    seq: int
    telemetry: int
    metrics: bool
    logs: bool
    done: bool = False


def cleaned_rows(seq: int, event: Cleaned, claims: Sequence[int]) -> list[CleanedRow]:
    """What the event at `seq` is about, if it is about telemetry."""
    metrics, logs = "metrics" in event.what, "logs" in event.what
    if not metrics and not logs:
        return []
    return [CleanedRow(claim, seq, event.telemetry, metrics, logs) for claim in claims]
