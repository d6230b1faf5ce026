"""What is known of a task, by part and name, and what of it is not the same for several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from . import parameters
from .events import AgentUp
from .spec import Spec, argv_text
from .state import Ended, Task
from .units import size_text
from .words.masking import masked

PARTS = {
    "command": "command",
    "parameter": "parameters",
    "code": "code",
    "package": "packages",
    "variable": "variables",
    "option": "options",
    "machine": "machine",
    "outcome": "outcome",
    "metric": "metrics",
}
"""The parts in the order in which they are shown, and what they are called there."""

_APART = frozenset({"entry", "code", "params", "variables", "key", "parent", "user", "host"})
"""Fields of a spec that are not compared as options: they have a part of their own, or none."""

_AS_TYPED = {
    "manager": "env",
    "requirements": "requirement",
    "tags": "tag",
    "secrets": "secret",
    "ports": "port",
    "indexes": "index",
    "constraints": "constraint",
    "torch_backend": "torch-backend",
}
"""Fields whose option has another name."""

_IN_PARTS = frozenset({"limits", "container", "repo"})
"""Fields whose own fields are compared."""


class Facts(msgspec.Struct, frozen=True):
    """What is known, by part and name, and what of the command is no parameter."""

    program: str
    parts: Mapping[str, Mapping[str, Any]]


class Row(msgspec.Struct, frozen=True):
    """One fact of all tasks, in their order; null where a task has none.

    A value that looks secret is masked, and yet `differs` says whether it is the same everywhere.
    """

    part: str
    name: str
    values: tuple[Any, ...]
    differs: bool


# --- what is known ------------------------------------------------------------------------------


def asked(spec: Spec) -> Facts:
    """What a spec asks for; its code is left out."""
    return Facts(
        argv_text(parameters.with_arguments(spec.entry, ())),
        {
            "command": {"command": argv_text(spec.entry)},
            "parameter": parameters.values(spec),
            "variable": spec.variables,
            "option": _options(spec),
        },
    )


def facts(task: Task, metrics: Mapping[str, Any], up: AgentUp | None = None) -> Facts:
    """All that is known of a task.

    `metrics` are its last values, `up` is what the agent of its last attempt said of its machine.
    Of several attempts the last one counts.
    """
    wish = asked(task.spec_now)
    environment = task.attempts[-1].environment if task.attempts else None
    packages = {one.name: one.version for one in environment.packages} if environment else {}
    return Facts(
        wish.program,
        {
            **wish.parts,
            "code": _code(task),
            "package": packages,
            "machine": _machine(task, up),
            "outcome": _outcome(task),
            "metric": metrics,
        },
    )


def _options(spec: Spec) -> dict[str, Any]:
    names = [one.name for one in msgspec.structs.fields(spec) if one.name not in _APART]
    if _says_the_command(spec):
        names.remove("name")
    found = {_AS_TYPED.get(name, name): getattr(spec, name) for name in names}
    for name in _IN_PARTS:
        if isinstance(part := found.pop(name, None), msgspec.Struct):
            found |= msgspec.structs.asdict(part)
    return found


def _says_the_command(spec: Spec) -> bool:
    """Whether the name is only the command, or its beginning, once more."""
    given = [f"{name}={value}" for name, value in spec.params.items()]
    return spec.name.removesuffix("…") in " ".join([*argv_text(spec.entry).split(), *given])


def _code(task: Task) -> dict[str, Any]:
    code = task.spec.code
    if code is None:
        commit = task.attempts[-1].commit if task.attempts else None
        return {"commit": commit} if commit else {}
    return {
        "commit": code.commit,
        "branch": code.branch,
        "folder": code.folder,
        "snapshot": code.snapshot,
    }


def _machine(task: Task, up: AgentUp | None) -> dict[str, Any]:
    if not task.attempts:
        return {}
    last = task.attempts[-1]
    environment = last.environment
    found: dict[str, Any] = {
        "agent": last.agent,
        "host": up.host if up else last.launch.host if last.launch else None,
        "gpus": last.gpus,
        "python": environment.python if environment else None,
        "manager": environment.manager if environment else None,
        "image": environment.image if environment else None,
    }
    if up:
        found |= {"platform": up.platform, "cpus": up.cpus, "memory": size_text(up.memory)}
    return found


def _outcome(task: Task) -> dict[str, Any]:
    found: dict[str, Any] = {"state": task.name_of_state}
    if isinstance(state := task.state, Ended):
        found |= {"exit_code": state.exit_code, "cause": state.cause, "evidence": state.evidence}
    if task.attempts:
        found |= {"attempts": len(task.attempts), "seconds": task.attempts[-1].seconds}
    return found


# --- what of it differs -------------------------------------------------------------------------


def rows(known: Sequence[Facts]) -> list[Row]:
    """A row for each fact that any task has, parts in their order."""
    found = [
        row
        for part in PARTS
        for row in compared(part, [one.parts.get(part, {}) for one in known])
        if part != "command"
    ]
    commands = [one.parts["command"]["command"] for one in known]
    # Parameters that differ have said it already.
    said = any(row.part == "parameter" and row.differs for row in found)
    apart = commands if not said else [one.program for one in known]
    return [Row("command", "command", tuple(commands), len(set(apart)) > 1), *found]


def compared(part: str, known: Sequence[Mapping[str, Any]]) -> list[Row]:
    """A row for each name of one part."""
    names = dict.fromkeys(name for one in known for name in one)
    return [_row(part, name, [one.get(name) for one in known]) for name in names]


def _row(part: str, name: str, values: Sequence[Any]) -> Row:
    first = values[0]
    # True is not 1 here, nor is 1.0: a program may tell them apart.
    differs = any(one != first or type(one) is not type(first) for one in values[1:])
    if part == "variable":
        values = [one if one is None else masked(name, one) for one in values]
    return Row(part, name, tuple(values), differs)
