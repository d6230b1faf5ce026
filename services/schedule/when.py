"""When something is due: by a cron expression, every so often, or once."""

from __future__ import annotations

import msgspec

from ...core.units import duration_text


class Cron(msgspec.Struct, frozen=True, tag_field="when", tag="cron"):
    """The five fields of cron, or six with seconds first, on the clock of a time zone."""

    expression: str
    zone: str


class Every(msgspec.Struct, frozen=True, tag_field="when", tag="every", kw_only=True):
    """Every `seconds` after `start`, in microseconds since 1970; `zone` is for people."""

    seconds: float
    start: int
    zone: str


class Once(msgspec.Struct, frozen=True, tag_field="when", tag="once", kw_only=True):
    """At one moment, in microseconds since 1970; `zone` is for people."""

    at: int
    zone: str


When = Cron | Every | Once


def when_text(when: When) -> str:
    """The same in short: `0 3 * * * Europe/Berlin`, `every 2h`, `once`."""
    match when:
        case Cron(expression, zone):
            return f"{expression} {zone}"
        case Every(seconds=seconds):
            return f"every {duration_text(seconds)}"
        case Once():
            return "once"
