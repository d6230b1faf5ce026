"""Counts, durations and ends of commands in words."""

from __future__ import annotations

import signal


def count_of(number: int, noun: str) -> str:
    """A number and what it counts: `1 task`, `3 tasks`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def span(seconds: float | None) -> str:
    """A duration in at most two units: `0.4s`, `12s`, `3m05s`, `2h10m`, `3d4h`."""
    if seconds is None:
        return ""
    if seconds < 0.95:
        return f"{max(0.0, seconds):.1f}s" if seconds >= 0.05 or seconds <= 0 else "<0.1s"
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600}h"


def ago(at: int | None, now: int) -> str:
    """How long before `now` something was, in one unit: `3s`, `5m`, `2h`, `4d`. Both are in
    microseconds."""
    if at is None:
        return ""
    seconds = max(0, (now - at) // 1_000_000)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def end_text(exit_code: int | None, cause: str | None) -> str:
    """How a command ended, in a few words: `exit status 3`, `SIGKILL`."""
    if exit_code is not None and exit_code < 0:
        return signal_name(-exit_code)
    if exit_code:
        return f"exit status {exit_code}"
    return (cause or "").replace("_", " ")


def signal_name(number: int) -> str:
    """`SIGKILL` for 9."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
