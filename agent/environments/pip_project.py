"""What uv reads by itself and pip does not: the requirements of a header and of a project."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import msgspec

from ...core.errors import EnvironmentFailed
from .base import Recipe, Request
from .explicit import checked_spec
from .local_code import names_local_code
from .project import private_note, read_pyproject
from .script import read_header
from .tree import Tree

Finder = Callable[[Tree, Request], Recipe | None]

_NO_LOCK = "not reproducible: pip reads no lock of a project; pin in a requirements.txt"


def for_pip(find: Finder) -> Finder:
    """A finder of the same files, whose recipes are for pip."""

    def found_for_pip(tree: Tree, request: Request) -> Recipe | None:
        recipe = find(tree, request)
        if recipe is None:
            return None
        match recipe.kind:
            case "script" | "script-lock":
                header = read_header(tree, request) or {}
                return _of_table(recipe, header, "script", f"the header of {request.script}")
            case "project":
                project = (read_pyproject(tree, recipe.folder) or {})["project"]
                return _of_table(recipe, project, "project", recipe.source)
            case _:
                return msgspec.structs.replace(_with_files(recipe), manager="pip")

    return found_for_pip


def _of_table(recipe: Recipe, table: dict[str, Any], kind: str, source: str) -> Recipe:
    needs = tuple(checked_spec(str(need)) for need in table.get("dependencies", []))
    computed = "dependencies" in table.get("dynamic", [])
    # Only a build of the project says what it needs, so it is built, and its needs with it.
    local = tuple(
        msgspec.structs.replace(one, built="its dependencies are computed") if computed else one
        for one in recipe.local
    )
    private = computed or any(map(names_local_code, needs)) or any(one.built for one in local)
    return msgspec.structs.replace(
        recipe,
        manager="pip",
        kind=kind,
        source=source,
        files=(),
        specs=needs,
        groups=(),
        local=local,
        private=private,
        notes=(*private_note(private), _NO_LOCK),
    )


def _with_files(recipe: Recipe) -> Recipe:
    for file in recipe.files:
        if os.path.splitext(file)[1] in (".toml", ".py", ".lock"):
            raise EnvironmentFailed(
                f"pip does not read {file}",
                why="it reads lists of requirements such as requirements.txt",
                fix="--env uv",
            )
    return recipe
