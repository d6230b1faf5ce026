"""Durations and sizes as people write them: `2h30m`, `90s`, `1d`; `64MiB`, `2G`, `500k`."""

from __future__ import annotations

import re

from .errors import UsageError

_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[dhms]))+\Z")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[dhms])")
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):([0-5]\d)\Z")
_NUMBER = re.compile(r"\d+(?:\.\d+)?\Z")

_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\Z", re.IGNORECASE)

DURATION_FORMS = "a duration such as 90s, 2h30m, 1d, 01:30:00, or a number of seconds"
SIZE_FORMS = "a size such as 64MiB, 2GiB, 500k, or a number of bytes"


def seconds(text: str) -> float:
    """The seconds in a duration: `2h30m`, `1d`, `250ms`, `1:30:00`, or a bare number.

    Raises `UsageError` for anything else, so also for negative durations.
    """
    written = text.strip().lower()
    if _NUMBER.match(written):
        return float(written)
    if clock := _CLOCK.match(written):
        hours, minutes, rest = (int(part or 0) for part in clock.groups())
        return float(hours * 3600 + minutes * 60 + rest)
    if _DURATION.match(written):
        return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(written))
    raise UsageError(f"{text!r} is not a duration", why=f"allowed is {DURATION_FORMS}", fix="2h30m")


def size(text: str) -> int:
    """The bytes in a size. `KiB MiB GiB TiB` are powers of 1024, so are the bare `k M G T`;
    `kB MB GB TB` are powers of 1000.

    Raises `UsageError` for anything else.
    """
    found = _SIZE.match(text.strip())
    if found is None:
        raise UsageError(f"{text!r} is not a size", why=f"allowed is {SIZE_FORMS}", fix="64MiB")
    number, prefix, binary = found.groups()
    decimal = prefix and not binary and text.strip().lower().endswith("b")
    return int(float(number) * (1000 if decimal else 1024) ** _POWERS[prefix.lower()])


def duration_text(value: float) -> str:
    """`value` seconds in the shortest form that `seconds` reads back: `2h30m`, `1.5s`, `0s`."""
    whole, parts = int(value), []
    for unit in ("d", "h", "m"):
        count, whole = divmod(whole, int(_SECONDS[unit]))
        if count:
            parts.append(f"{count}{unit}")
    rest = whole + (value - int(value))
    if rest or not parts:
        parts.append(f"{rest:.3f}".rstrip("0").rstrip(".") + "s")
    return "".join(parts)


def size_text(value: int) -> str:
    """`value` bytes for people: `64MiB`, `1.5GiB`, `12B`."""
    amount, unit = float(value), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.1f}".removesuffix(".0") + unit
