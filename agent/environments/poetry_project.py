"""Reading a project of poetry: `poetry.lock`, and [tool.poetry] in `pyproject.toml`."""

from __future__ import annotations

import os
import re
from typing import Any

from .base import Local, Recipe, Request
from .project import canonical, not_reproducible, private_note, read_local, required_python, table
from .tree import Tree, upward

_LOCKED_LOCAL = re.compile(r'^type = "(?:directory|file)"$', re.MULTILINE)
_CARET = re.compile(r"\^(\d+(?:\.\d+)*)")
_TILDE = re.compile(r"~(\d+)(?:\.(\d+))?((?:\.\d+)*)")
_COMPARED = re.compile(r"(?:[<>]=?|[!=]=)\s*\d+(?:\.\d+)*(?:\.\*)?")
_STARRED = re.compile(r"\d+(?:\.\d+)*\.\*")


def find_poetry(tree: Tree, request: Request) -> Recipe | None:
    """The recipe of the nearest project of poetry, from the script upward.

    Unless poetry was named, a project without `poetry.lock` that has a [project], too, is left
    to uv.
    """
    for folder in upward(request.start):
        path = os.path.normpath(os.path.join(folder, "pyproject.toml"))
        if (data := tree.read_toml(path)) is None:
            continue
        tree.forget(path)
        settings = table(table(data, "tool"), "poetry")
        lock_path = os.path.normpath(os.path.join(folder, "poetry.lock"))
        lock = tree.read_text(lock_path)
        its_own = bool(settings) and "project" not in data
        if lock is None and not its_own and not (request.manager == "poetry" and "project" in data):
            continue
        tree.read(os.path.join(folder, "poetry.toml"))
        tree.note(f"poetry {path}", canonical(_deciding(data, settings)))
        local = _local(tree, os.path.normpath(folder), data, settings)
        private = any(one.built for one in local) or _needs_the_tree(lock, settings)
        return Recipe(
            manager="poetry",
            kind="poetry" if lock is None else "poetry-lock",
            source=path if lock is None else lock_path,
            folder=folder,
            files=(path,),
            python=_required_python(data, settings, path),
            local=local,
            private=private,
            notes=(
                *private_note(private),
                *((not_reproducible("poetry lock"),) if lock is None else ()),
            ),
        )
    return None


def _deciding(data: dict[str, Any], settings: dict[str, Any]) -> list[Any]:
    tables = ("project", "dependency-groups", "build-system")
    return [settings, *(data.get(name) for name in tables)]


def _needs_the_tree(lock: str | None, settings: dict[str, Any]) -> bool:
    """Whether code of the tree is among what is to be installed."""
    if lock is not None:
        return _LOCKED_LOCAL.search(lock) is not None
    groups = [settings, *table(settings, "group").values()]
    needs = [need for group in groups for need in table(group, "dependencies").values()]
    flat = [one for need in needs for one in (need if isinstance(need, list) else [need])]
    return any(isinstance(one, dict) and ("path" in one or "file" in one) for one in flat)


def _local(
    tree: Tree, folder: str, data: dict[str, Any], settings: dict[str, Any]
) -> tuple[Local, ...]:
    project = {**settings, **table(data, "project")}
    if settings.get("package-mode") is False or "name" not in project:
        return ()
    scripts = {**table(settings, "scripts"), **table(project, "scripts")}
    described = {**data, "project": {**table(data, "project"), "scripts": scripts}}
    version = project.get("version")
    return (read_local(tree, folder, str(project["name"]), version, described),)


def _required_python(data: dict[str, Any], settings: dict[str, Any], path: str) -> str | None:
    if (required := required_python(table(data, "project"), path)) is not None:
        return required
    return python_specifier(str(table(settings, "dependencies").get("python", "*")))


def python_specifier(constraint: str) -> str | None:
    """Poetry's `constraint` on Python ("^3.11") as a specifier (">=3.11,<4").

    None if it allows all, or says what no specifier can: then poetry itself refuses a Python
    that is wrong.
    """
    found = []
    for part in filter(None, re.split(r"\s*,\s*|\s+(?=[<>=!~^])", constraint.strip())):
        if (specifier := _one_specifier(part)) is None:
            return None
        found.append(specifier)
    return ",".join(found) or None


def _one_specifier(part: str) -> str | None:
    if caret := _CARET.fullmatch(part):
        major = int(caret[1].partition(".")[0])
        return f">={caret[1]},<{major + 1}"
    if tilde := _TILDE.fullmatch(part):
        major, minor, rest = int(tilde[1]), tilde[2], tilde[3]
        if minor is None:
            return f">={major},<{major + 1}"
        return f">={major}.{minor}{rest},<{major}.{int(minor) + 1}"
    if _COMPARED.fullmatch(part):
        return part.replace(" ", "")
    return f"=={part}" if _STARRED.fullmatch(part) else None
