"""Moments: writers' clocks may show anything, and readers have to live with it."""

from __future__ import annotations

LATEST = 253_402_300_799_999_999
"""The end of the year 9999, in microseconds since 1970: what comes after it is no timestamp."""


def writable(at: int) -> int:
    """A writer's clock, in microseconds since 1970, as a time that a database can hold."""
    return min(max(at, 0), LATEST)
