"""What differs between what was asked for twice: parameters, variables, options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ...core import parameters
from ...core.sdk.request import default_name
from ...core.spec import Entry, Spec, argv_text
from ...core.words.masking import masked
from ...core.words.values import NOTHING, value_text
from .. import output

_APART = frozenset({"entry", "code", "params", "variables", "key", "parent", "user", "host"})
"""Fields of a spec that are not compared as options: they have a part of their own, or none."""

_AS_TYPED = {
    "manager": "env",
    "requirements": "requirement",
    "tags": "tag",
    "secrets": "secret",
    "indexes": "index",
    "constraints": "constraint",
    "torch_backend": "torch-backend",
}
"""Fields whose option has another name."""

_IN_PARTS = frozenset({"limits", "container", "repo"})
"""Fields whose own fields are compared."""


class Change(msgspec.Struct, frozen=True):
    """One thing that is not the same; null where it is missing."""

    part: str
    name: str
    old: Any
    new: Any


def spec_changes(old: Spec, new: Spec) -> list[Change]:
    """What was asked for otherwise the second time; their code is not compared."""
    named = list(compared("parameter", _parameters(old), _parameters(new)))
    if old.entry != new.entry and (not named or _program(old) != _program(new)):
        command = Change("command", "command", argv_text(old.entry), argv_text(new.entry))
        named = [command, *named]
    return [
        *named,
        *compared("variable", _variables(old), _variables(new)),
        *compared("option", _options(old), _options(new)),
    ]


def _program(spec: Spec) -> Entry:
    return parameters.with_arguments(spec.entry, ())


def _parameters(spec: Spec) -> dict[str, Any]:
    return dict(parameters.values(spec))


def _variables(spec: Spec) -> dict[str, Any]:
    return dict(spec.variables)


def _options(spec: Spec) -> dict[str, Any]:
    names = [one.name for one in msgspec.structs.fields(spec) if one.name not in _APART]
    if spec.name == default_name(spec.entry, spec.params):
        names.remove("name")  # it says the command once more
    found = {_AS_TYPED.get(name, name): getattr(spec, name) for name in names}
    for name in _IN_PARTS:
        if isinstance(part := found.pop(name, None), msgspec.Struct):
            found |= msgspec.structs.asdict(part)
    return found


def compared(part: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    """A change for each name whose value is not the same; variables that look secret are masked."""
    for name in dict.fromkeys((*old, *new)):
        before, after = old.get(name), new.get(name)
        if before == after and type(before) is type(after):
            continue
        if part == "variable":
            before = before if before is None else masked(name, before)
            after = after if after is None else masked(name, after)
        yield Change(part, name, before, after)


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
