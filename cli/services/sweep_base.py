"""The task that a sweep's trials are made from, as its file names it: `run = "…"` or `clone`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from ...core.errors import UsageError
from ...core.spec import Spec
from ...services.sweep.decide import value_text
from ...services.sweep.definition import Definition, Value
from .captured import captured, cloned


def check_source(definition: Definition) -> None:
    """Raises `UsageError` unless the definition says once what its trials are made from."""
    if bool(definition.run) == bool(definition.clone):
        raise UsageError(
            "a sweep needs one task that its trials are made from",
            why="it has both run and clone" if definition.run else "it has neither run nor clone",
            fix='run = "train.py -- --epochs 10"     or clone = "TASK"',
        )


def base_of(definition: Definition, folder: Path) -> Spec:
    """The task that `run` asks for, with the code around `folder`, or that `clone` names.

    Raises `UsageError` or `NotFound`.
    """
    if definition.clone:
        return cloned(definition.clone, ())
    return captured(_words(definition.run), folder)


def _words(run: str) -> list[str]:
    try:
        return shlex.split(run)
    except ValueError as error:
        raise UsageError(
            f"run = {run!r} is no command of evq run",
            why=str(error),
            fix='run = "train.py -- --epochs 10"',
        ) from None


def command(definition: Definition, params: dict[str, Value]) -> str:
    """The line that runs a trial again, to be copied into a shell."""
    sets = [word for name, value in params.items() for word in _set(name, value)]
    if definition.run:
        return shlex.join(["evq", "run", *sets, *_words(definition.run)])
    return shlex.join(["evq", "clone", definition.clone, *sets])


def _set(name: str, value: Value) -> Sequence[str]:
    return ("--set", f"{name}={value_text(value)}")
