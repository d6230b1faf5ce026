"""What tasks say, as a closed union of tagged Structs: many of them travel in one message, on a
stream of its own.

`claim` is the fencing token of the attempt that speaks.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Log(msgspec.Struct, frozen=True, tag_field="kind", tag="log", kw_only=True):
    """Lines of an attempt, in order, in columns of equal length.

    `first` is the number of the first line in the attempt, from 0; `stream` holds one letter a
    line: o (stdout), e (stderr), s (set-up), a (the agent's own words).
    """

    attempt: int
    claim: int
    first: int
    at: tuple[int, ...]
    stream: str
    text: tuple[str, ...]


class Metric(msgspec.Struct, frozen=True, tag_field="kind", tag="metric", kw_only=True):
    """Points of an attempt's metrics, in columns of equal length.

    JSON has no NaN and no infinity: such values are the words `nan`, `inf` and `-inf`, which
    `float()` reads.
    """

    attempt: int
    claim: int
    at: tuple[int, ...]
    name: tuple[str, ...]
    step: tuple[int | None, ...]
    value: tuple[float | Literal["nan", "inf", "-inf"], ...]


class Progress(msgspec.Struct, frozen=True, tag_field="kind", tag="progress", kw_only=True):
    """How far an attempt is: `done` of `total`, in a unit of the task's choice."""

    attempt: int
    claim: int
    at: int
    done: float
    total: float | None = None
    text: str = ""


class Remarks(
    msgspec.Struct, frozen=True, tag_field="kind", tag="remarks", omit_defaults=True, kw_only=True
):
    """What an attempt says of itself, by name: parameters and tags that its tracker logged.

    Of two that have one name, the later counts.
    """

    attempt: int
    claim: int
    at: int
    params: dict[str, str] = {}
    tags: dict[str, str] = {}


Telemetry = Log | Metric | Progress | Remarks
