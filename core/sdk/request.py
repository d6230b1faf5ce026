"""What is to be run, made into a task's spec: the same for the command line and for programs."""

from __future__ import annotations

import os
import posixpath
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import msgspec
from msgspec.structs import replace

from .. import parameters
from ..artifacts import Input
from ..errors import UsageError
from ..spec import (
    After,
    Command,
    Container,
    Entry,
    Limits,
    Manager,
    Notebook,
    Repo,
    Script,
    Spec,
    argv_text,
)

NAME_LENGTH = 60


class Options(TypedDict, total=False):
    """What may be said of a task by name: the fields of `Spec`, which has their meaning."""

    name: str
    queue: str
    priority: int
    tags: tuple[str, ...]
    repo: Repo
    manager: Manager
    requirements: tuple[str, ...]
    python: str
    container: Container
    setup: str
    apt: tuple[str, ...]
    indexes: tuple[str, ...]
    constraints: tuple[str, ...]
    torch_backend: str
    variables: dict[str, str]
    secrets: tuple[str, ...]
    client: bool
    ports: tuple[int, ...]
    tools: tuple[str, ...]
    retries: int
    losses: int
    timeout: float
    grace: float
    keep: float
    limits: Limits
    gpus: int
    gpu_memory: int
    needs: dict[str, str]
    nodes: int
    project: str
    after: tuple[After, ...]
    inputs: tuple[Input, ...]
    key: str


Runnable = Spec | Entry | str | os.PathLike[str] | Sequence[str]
"""A spec, what stands in one, the path of a script or notebook, or the words of a command."""


def spec_of(
    what: Runnable,
    args: Sequence[object],
    params: Mapping[str, object],
    options: Options,
    cwd: Path,
) -> Spec:
    """The spec of what is to be run, its code left out. Raises `UsageError`."""
    if isinstance(what, Spec | Entry):
        if args:
            raise UsageError("args stand beside an entry that has its own", fix="put them there")
        spec = what if isinstance(what, Spec) else Spec(entry=what)
    else:
        words = tuple(map(str, args))
        spec = Spec(entry=_entry(what, words, None if "repo" in options else cwd))
    spec = well_formed(replace(spec, **options))
    return with_parameters(spec, {name: str(value) for name, value in params.items()})


def well_formed(spec: Spec) -> Spec:
    """The spec as an agent will read it. Raises `UsageError` for a value of another type."""
    try:
        return msgspec.convert(msgspec.to_builtins(spec), Spec)
    except (msgspec.ValidationError, TypeError) as error:
        raise UsageError(
            "the spec holds what no agent could read", why=str(error), fix="correct that value"
        ) from error


def _entry(
    what: str | os.PathLike[str] | Sequence[str], args: tuple[str, ...], cwd: Path | None
) -> Entry:
    """A command, or a script or notebook, which is there in `cwd` unless that is null."""
    if not isinstance(what, str | os.PathLike):
        return Command((*map(str, what), *args))
    path = os.fspath(what)
    if cwd:
        check_script(path, (), cwd)
    return script_entry(path, args)


def script_entry(path: str, args: tuple[str, ...]) -> Script | Notebook:
    """A script, or a notebook if it is one by its name. Raises `UsageError`."""
    return _notebook(path, args) if path.endswith(".ipynb") else Script(path, args)


def _notebook(path: str, args: tuple[str, ...]) -> Notebook:
    if args:
        raise UsageError(
            f"{path} takes no arguments",
            why="a notebook has no command line; it has parameters",
            fix=f"evq enqueue {path} --set lr=0.1",
        )
    return Notebook(path)


def check_script(script: str, others: Sequence[str], cwd: Path) -> None:
    """Raises `UsageError` if the script is no file of the folder `cwd`."""
    path = cwd / script
    if path.is_file():
        return
    if path.is_dir():
        raise UsageError(
            f"{script} is a folder, not a script",
            why="a package is run as a module",
            fix=f"evq enqueue -m {script.strip('/').replace('/', '.')}",
        )
    if shutil.which(script):
        raise UsageError(
            f"there is no file {script} here",
            why=f"{script} is a program; a command goes after --",
            fix=f"evq enqueue -- {' '.join([script, *others])}",
        )
    import difflib

    beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, beside, n=1)
    raise UsageError(
        f"there is no file {script} here" + (f"; did you mean {near[0]!r}?" if near else ""),
        why=f"looked in {path.parent}",
        fix=f"evq enqueue {posixpath.join(posixpath.dirname(script), near[0])}" if near else "ls",
    )


def with_parameters(spec: Spec, values: Mapping[str, str], *, force: bool = False) -> Spec:
    """`spec` with other values of parameters: in the place of what is on the command line or in the
    environment already, else as parameters of evq's own.

    With `force` a parameter may change its type. Raises `UsageError`.
    """
    for name, text in values.items():
        if parameters.knows(spec, name):
            spec = parameters.override(spec, {name: text}, force=force)
        else:
            spec = replace(spec, params=spec.params | {name: text})
    return spec


def default_name(entry: Entry, params: dict[str, str]) -> str:
    """A name that tells the tasks of one script apart: `train.py --lr 0.1 seed=3`."""
    words = argv_text(entry)
    if isinstance(entry, Script):
        words = argv_text(Script(posixpath.basename(entry.path), entry.args))
    if isinstance(entry, Notebook):
        words = posixpath.basename(entry.path)
    words = " ".join([*words.split(), *(f"{name}={value}" for name, value in params.items())])
    return words if len(words) <= NAME_LENGTH else words[: NAME_LENGTH - 1] + "…"
