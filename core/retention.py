"""What is old goes from the database, because somebody wished it, by an event like any other.

Events stay for good. Of attempts whose task had ended before a moment, points and lines from before
that moment go: a curve keeps the first point, and of each stretch the smallest, the largest, the
last and the first that is no number. What is not named stays.
"""

from __future__ import annotations

import msgspec

STRETCHES = 249
MOST_POINTS = 1000
"""A curve with no more points than these is left as it is; none that was thinned has more."""


class Trimmed(
    msgspec.Struct, frozen=True, tag_field="kind", tag="trimmed", omit_defaults=True, kw_only=True
):
    """Somebody wants what is older than these moments (microseconds since 1970) to go.

    `telemetry` is the sequence of the last record that this is about. `minutes` are those of
    machines, GPUs and tasks that hours hold, too.
    """

    reason: str
    telemetry: int
    metrics: int | None = None
    logs: int | None = None
    minutes: int | None = None
