"""What is known of a task, by part and name, and what of it differs between several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from .....core import parameters
from .....core.spec import argv_text
from .....core.state import Ended, Task
from .....core.words.masking import MASK, looks_secret, masked
from .....core.words.values import value_text

Facts = dict[tuple[str, str], Any]
"""By part and name."""


class Row(msgspec.Struct, frozen=True):
    """One fact of all tasks, in their order; null where a task has none."""

    part: str
    name: str
    values: tuple[Any, ...]

    @property
    def differs(self) -> bool:
        """Whether it is not the same everywhere."""
        return any(value != self.values[0] for value in self.values[1:])


def facts(task: Task, metrics: Mapping[str, Any]) -> Facts:
    """All that may differ; `metrics` are its last values. What looks secret is masked."""
    spec, last = task.spec, task.attempts[-1] if task.attempts else None
    environment = last.environment if last else None
    found: dict[str, dict[str, Any]] = {
        "parameters": {
            one.name: MASK if one.where == "environment" and looks_secret(one.name) else one.value
            for one in parameters.read(spec)
        },
        "metrics": dict(metrics),
        "outcome": _outcome(task),
        "code": {
            "commit": spec.code.commit if spec.code else last.commit if last else None,
            "branch": spec.code.branch if spec.code else None,
            "snapshot": spec.code.snapshot[:12] if spec.code else None,
            "changes": ", ".join(f"{n} {kind}" for kind, n in spec.code.changes.items())
            if spec.code
            else None,
        },
        "machine": {
            "worker": last.agent if last else None,
            "host": last.launch.host if last and last.launch else None,
            "GPUs": ", ".join(last.gpus) or None if last else None,
        },
        "environment": {
            "manager": environment.manager if environment else spec.manager,
            "python": environment.python if environment else None,
            "image": environment.image if environment else None,
        },
        "packages": {one.name: one.version for one in environment.packages} if environment else {},
        "variables": {name: masked(name, value) for name, value in spec.variables.items()},
        "request": {
            "command": argv_text(spec.entry),
            "queue": task.place.queue,
            "priority": task.place.priority,
            "user": spec.user,
            "project": spec.project or None,
            "tags": " ".join(task.tags) or None,
            "gpus": spec.gpus or None,
            "retries": spec.retries,
            "timeout": spec.timeout,
        },
    }
    return {(part, name): value for part, named in found.items() for name, value in named.items()}


def _outcome(task: Task) -> dict[str, Any]:
    state, last = task.state, task.attempts[-1] if task.attempts else None
    found: dict[str, Any] = {"state": task.name_of_state, "attempts": len(task.attempts)}
    if isinstance(state, Ended):
        found |= {
            "exit code": state.exit_code,
            "cause": state.cause.value.replace("_", " ") if state.cause else None,
        }
    if last and last.launch and last.end:
        found["seconds"] = round((last.end.at - last.launch.at) / 1e6, 3)
    return found


def rows(known: Sequence[Facts]) -> list[Row]:
    """A row for each fact that any task has, parts in their order."""
    parts = list(dict.fromkeys(part for one in known for part, _ in one))
    keys = sorted(
        dict.fromkeys(key for one in known for key in one), key=lambda key: parts.index(key[0])
    )
    return [Row(part, name, tuple(one.get((part, name)) for one in known)) for part, name in keys]


def shown(row: Row) -> list[str]:
    """The values as people read them."""
    return [value_text(row.name, value) for value in row.values]
