"""What every manager of environments offers, and what it is asked.

A manager reads the task's code and says what it would make (`detect`, a `Recipe`), then makes
it (`prepare`, an `Environment`). The two are apart so that the first can be shown, tested and
asked before anything is built.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from ...core.events import Package
from ..attempts.command import Run
from .locks import Hold

Kind = Literal[
    "explicit",
    "script",
    "script-lock",
    "lock",
    "pylock",
    "poetry-lock",
    "poetry",
    "conda",
    "project",
    "requirements",
    "bare",
    "system",
    "agent",
    "none",
]
"""Where a recipe comes from; `docs/decisions/0004` has the order in which they are looked for."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What the task asks for.

    `script` is the path of the entry script and `folder` where the task runs, both relative to
    the tree. `requirements` are paths relative to the tree, or PEP 508 requirements, and
    `constraints` paths relative to the tree. `python` is a version ("3.12"), a specifier
    (">=3.11"), or another request that the manager knows. `indexes` are looked at before the
    usual ones; `torch_backend` is a name of uv's, or "auto" for what the machine has.
    """

    manager: str = "auto"
    script: str | None = None
    folder: str = "."
    requirements: tuple[str, ...] = ()
    python: str | None = None
    indexes: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    torch_backend: str | None = None

    @property
    def start(self) -> str:
        """The folder from which files are looked for, upward."""
        return os.path.dirname(self.script) if self.script else self.folder


class Local(msgspec.Struct, frozen=True):
    """A package whose code is in the tree itself: it is imported from there, never installed.

    `folder` is relative to the tree. `entry_points` is as in `importlib.metadata`: by group, the
    name of each and what it stands for. `built` says why it has to be installed all the same:
    without a build there would be nothing to import.
    """

    name: str
    version: str
    folder: str
    entry_points: dict[str, dict[str, str]] = {}
    built: str = ""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be made, and the digest of everything read to decide it.

    `source` names the file for people ("uv.lock"). `folder`, `files` and `script` are relative
    to the tree. `private` says that the outcome depends on code in the tree that has to be
    built, so that it serves this attempt only. `secrets` are the names that its addresses
    refer to as `${NAME}`.
    """

    manager: str
    kind: Kind
    source: str
    folder: str = "."
    files: tuple[str, ...] = ()
    specs: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    python: str | None = None
    local: tuple[Local, ...] = ()
    digest: str = ""
    private: bool = False
    notes: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    torch_backend: str | None = None
    secrets: tuple[str, ...] = ()

    def near(self, path: str) -> str:
        """`path`, which is relative to the tree, as seen from `folder`."""
        return os.path.relpath(path, self.folder)


class Toolbox(msgspec.Struct, frozen=True, kw_only=True):
    """What there is where the commands run: on this machine, or in a container on it.

    `uv` is the path of uv there; `image` names the container's image, "" on the machine itself.
    Work tree and cache have the same paths on both sides.
    """

    uv: str
    uv_version: str
    platform: str
    image: str = ""


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Where an environment is made: the tree that it is for, and all that is at hand for it.

    `secrets` are the values that addresses may refer to; they reach no key and no log.
    """

    tree: Path
    cache: Path
    run: Run
    base_env: Mapping[str, str]
    secrets: Mapping[str, str]
    toolbox: Toolbox


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """An environment that is ready, and stays so while `hold` is held.

    `path` is the folder of the environment, None when the machine is used as it is; `folder` is
    the one of the cache that it lies in, and that whoever uses it locks. `variables` are to be
    set, `bin_path` and `python_path` to be put in front of PATH and PYTHONPATH (or let `apply` do
    all three). `cached` says that nothing had to be built. `executable` is the Python to run where
    the PATH is not to say it; such a one has evq itself, not only the words that tasks are given.
    """

    manager: str
    key: str
    path: Path | None = None
    folder: Path | None = None
    variables: dict[str, str] = {}
    bin_path: tuple[str, ...] = ()
    python_path: tuple[str, ...] = ()
    python: str | None = None
    executable: str | None = None
    packages: tuple[Package, ...] = ()
    notes: tuple[str, ...] = ()
    cached: bool = False
    hold: Hold | None = None

    def apply(self, base: Mapping[str, str]) -> dict[str, str]:
        """The variables of a process that is to run in this environment."""
        variables = {**base, **self.variables}
        if self.path is not None:
            variables.pop("PYTHONHOME", None)
        for name, front in (("PATH", self.bin_path), ("PYTHONPATH", self.python_path)):
            if entries := [*front, *filter(None, [variables.get(name)])]:
                variables[name] = os.pathsep.join(entries)
        return variables

    def release(self) -> None:
        """Say that this environment is no longer in use, so that it may be pruned."""
        if self.hold is not None:
            self.hold.release()


class Manager(Protocol):
    """One way to make environments."""

    name: str

    async def prepare(self, recipe: Recipe, site: Site) -> Environment:
        """Make the environment, or find it in the cache; the caller releases it after use.

        Raises `EnvironmentFailed`, or `SpawnFailed` from `run`.
        """
        ...
