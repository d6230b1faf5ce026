"""Which environment a task's code asks for: the first hit of a fixed order.

1. requirements named with the task            `explicit`, or `conda` for a file of conda's
2. a PEP 723 block in the entry script         `script`, `script-lock` with `SCRIPT.lock` next to it
3. `uv.lock` beside a `pyproject.toml`         `lock`
4. `pylock.toml`                               `pylock`
5. `poetry.lock`, or [tool.poetry] alone       `poetry-lock`, `poetry`
6. `environment.yml`                           `conda`
7. `pyproject.toml` with a [project] table     `project`
8. `requirements.txt`                          `requirements`
9. nothing of these                            `bare`: a plain Python

A manager that was named looks for what it can read, in the same order. 3 to 8 are looked for in
the script's folder, then in each folder above it up to the root of the tree. Only files inside
the tree are read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from ...core.addresses import without_login
from ...core.errors import EnvironmentFailed
from .base import Local, Recipe, Request
from .conda_file import find_conda, find_named_conda
from .explicit import find_explicit
from .pip_project import for_pip
from .poetry_project import find_poetry
from .project import find_lock, find_project, private_note, read_settings, required_python
from .requirements import find_requirements, read_requirements
from .script import find_script
from .tree import Tree, upward
from .versions import python_request
from .wishes import check_wishes

DEFAULT_PYTHON = "3"

Finder = Callable[[Tree, Request], Recipe | None]


def detect(root: Path, request: Request) -> Recipe:
    """The recipe of what the code in `root` asks for, by the manager that the request names.

    Raises `EnvironmentFailed` if there is none, if it cannot grant what was wished, or if a file
    that decides is missing, wrong, or leads out of the tree.
    """
    if (finders := _ORDER.get(request.manager)) is None:
        raise EnvironmentFailed(
            f"there is no environment manager {request.manager!r}",
            why=f"this agent knows {', '.join(_ORDER)}",
            fix="--env auto",
        )
    check_wishes(request.manager, request)
    tree = Tree(root)
    recipe = next(filter(None, (find(tree, request) for find in finders)), None)
    if recipe is None:
        raise EnvironmentFailed(
            f"there is nothing for {request.manager} in the task's code",
            why=f"it was asked for, and looks for {_LOOKS_FOR[request.manager]}",
            fix="--env auto",
        )
    check_wishes(recipe.manager, request, recipe)
    return _with_wishes(tree, request, recipe)


def _with_wishes(tree: Tree, request: Request, recipe: Recipe) -> Recipe:
    """`recipe` with what was wished besides, and the digest of all."""
    if recipe.manager == "uv":
        read_settings(tree, recipe.folder)
    uncovered = [read_requirements(tree, path) for path in request.constraints]
    tree.note("--index", json.dumps([without_login(url) for url in request.indexes]).encode())
    tree.note("--constraint", json.dumps(request.constraints).encode())
    tree.refer(*request.indexes)
    return msgspec.structs.replace(
        recipe,
        python=_python(tree, request, recipe),
        local=recipe.local or _code_beside(tree, request, recipe),
        indexes=request.indexes,
        constraints=request.constraints,
        torch_backend=request.torch_backend,
        private=recipe.private or any(uncovered),
        notes=recipe.notes if recipe.private else (*recipe.notes, *private_note(any(uncovered))),
        secrets=tuple(sorted(tree.secrets)),
        digest=tree.digest(),
    )


def _code_beside(tree: Tree, request: Request, recipe: Recipe) -> tuple[Local, ...]:
    """The project whose requirements were listed by hand: its code is importable all the same."""
    if recipe.kind not in ("explicit", "requirements") or recipe.private:
        return ()
    project = find_project(tree, request)
    return tuple(one for one in project.local if not one.built) if project else ()


def _python(tree: Tree, request: Request, recipe: Recipe) -> str | None:
    match recipe.manager:
        case "none" | "agent":
            return None
        case "conda":  # its file has the word on Python, and nobody else but the user
            return request.python
        case "system":  # to be checked, not to be chosen
            return python_request(request.python or _pinned_python(tree, request), recipe.python)
        case _:
            wish = request.python or _pinned_python(tree, request)
            return python_request(wish, recipe.python) or DEFAULT_PYTHON


def _pinned_python(tree: Tree, request: Request) -> str | None:
    for folder in upward(request.start):
        text = tree.read_text(os.path.join(folder, ".python-version"))
        lines = [line.strip() for line in (text or "").splitlines()]
        if pins := [line for line in lines if line and not line.startswith("#")]:
            return pins[0]
    return None


def _pylock(tree: Tree, request: Request) -> Recipe | None:
    for folder in upward(request.start):
        path = os.path.normpath(os.path.join(folder, "pylock.toml"))
        if (lock := tree.read_toml(path)) is None:
            continue
        private = any(
            "directory" in package or "path" in package.get("archive", {})
            for package in lock.get("packages", [])
        )
        return Recipe(
            manager="uv",
            kind="pylock",
            source=path,
            folder=folder,
            files=(path,),
            python=required_python(lock, path),
            private=private,
            notes=private_note(private),
        )
    return None


def _bare(tree: Tree, request: Request) -> Recipe:
    return Recipe(manager="uv", kind="bare", source="no requirements found")


def _system(tree: Tree, request: Request) -> Recipe:
    project = find_project(tree, request)
    return Recipe(
        manager="system",
        kind="system",
        source="the Python that is there",
        python=project.python if project else None,
    )


def _agent(tree: Tree, request: Request) -> Recipe:
    return Recipe(manager="agent", kind="agent", source="the agent's own Python")


def _none(tree: Tree, request: Request) -> Recipe:
    return Recipe(manager="none", kind="none", source="the machine as it is")


_ORDER: dict[str, tuple[Finder, ...]] = {
    "auto": (
        find_named_conda,
        find_explicit,
        find_script,
        find_lock,
        _pylock,
        find_poetry,
        find_conda,
        find_project,
        find_requirements,
        _bare,
    ),
    "uv": (
        find_explicit,
        find_script,
        find_lock,
        _pylock,
        find_project,
        find_requirements,
        _bare,
    ),
    "pip": tuple(
        map(for_pip, (find_explicit, find_script, find_project, find_requirements, _bare))
    ),
    "poetry": (find_poetry,),
    "conda": (find_named_conda, find_conda),
    "system": (_system,),
    "agent": (_agent,),
    "none": (_none,),
}

_LOOKS_FOR = {
    "poetry": "a pyproject.toml with [tool.poetry] or [project]",
    "conda": "an environment.yml",
}
