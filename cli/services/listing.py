"""What the verbs of services say alike: all that there are, and what was decided about one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from ...core.journal import Noted
from .. import output
from ..output import Column

SHOWN = 10
"""Decisions that are shown; `--json` prints all."""

S = TypeVar("S")


def say_all(
    found: Mapping[str, S],
    as_json: bool,
    document: Callable[[str, S], dict[str, Any]],
    columns: Sequence[Column],
    row: Callable[[str, S], Sequence[object]],
    none: str,
) -> None:
    """Say which services of a kind there are, by name; `none` if there are none."""
    if as_json:
        output.say_json([document(name, state) for name, state in found.items()])
    elif found:
        output.say_table(columns, [row(name, state) for name, state in found.items()])
    else:
        output.note(none)


def decisions(noted: Sequence[Noted[Any]]) -> dict[str, Any]:
    """What `--json` prints of the decisions about a service."""
    return {"decisions": [{"at": one.at, "by": one.by, "words": one.words} for one in noted]}


def say_latest(noted: Sequence[Noted[Any]], clock: Callable[[int], str]) -> None:
    """Say what was decided lately, and when by this `clock`."""
    for one in noted[-SHOWN:]:
        output.say(f"  {output.dim(clock(one.at))}  {one.words}")
