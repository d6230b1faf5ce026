"""What differs between two tasks, or two states of one, line by line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ...core import differences
from ...core.differences import Facts, Row, asked
from ...core.spec import Spec
from ...core.words.values import NOTHING, value_text
from .. import output


class Change(msgspec.Struct, frozen=True):
    """One thing that is not the same; null where it is missing."""

    part: str
    name: str
    old: Any
    new: Any


def spec_changes(old: Spec, new: Spec) -> list[Change]:
    """What was asked for otherwise the second time; their code is not compared."""
    return changes_between(asked(old), asked(new))


def changes_between(old: Facts, new: Facts) -> list[Change]:
    """Everything that differs but for the files of the code."""
    return _changes(differences.rows([old, new]))


def compared(part: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """A change for each name whose value is not the same."""
    return _changes(differences.compared(part, [old, new]))


def _changes(rows: Sequence[Row]) -> list[Change]:
    return [Change(row.part, row.name, *row.values) for row in rows if row.differs]


def change_lines(changes: list[Change]) -> list[str]:
    """The changes for people: `lr  0.1 → 0.2`, one a line, in columns."""
    space = max((output.width(change.name) for change in changes), default=0)
    arrow = "→" if output.can_print("→") else "->"
    return [
        f"{change.name.ljust(space)}  {shown(change.name, change.old)} {output.dim(arrow)} "
        f"{shown(change.name, change.new)}"
        for change in changes
    ]


def shown(name: str, value: Any) -> str:
    """A value as a person would write it."""
    return value_text(name, value, NOTHING if output.can_print(NOTHING) else "-")
