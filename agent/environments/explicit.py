"""Requirements that were named with the task: files of its code, or packages."""

from __future__ import annotations

import json
import re

from ...core.addresses import without_login
from ...core.errors import EnvironmentFailed
from .base import Recipe, Request
from .local_code import names_local_code
from .project import private_note
from .requirements import read_requirements
from .tree import Tree

_SPEC = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\s*(?:$|[\[<>=!~;@(])")
_NAMES_CODE = re.compile(r"\b(path|workspace|directory)\s*=|\bfile:")
_FILE_SUFFIXES = (".txt", ".in", ".toml", ".py", ".lock")


def find_explicit(tree: Tree, request: Request) -> Recipe | None:
    """The recipe of what was named with the task."""
    if not request.requirements:
        return None
    files, specs, private = [], [], False
    for asked in request.requirements:
        if _is_file(tree, asked):
            private |= _leads_to_code(tree, asked)
            files.append(asked)
        else:
            private |= names_local_code(checked_spec(asked))
            specs.append(asked)
    tree.note("--requirement", json.dumps([without_login(spec) for spec in specs]).encode())
    tree.refer(*specs)
    return Recipe(
        manager="uv",
        kind="explicit",
        source=", ".join(request.requirements),
        files=tuple(files),
        specs=tuple(specs),
        private=private,
        notes=private_note(private),
    )


def _leads_to_code(tree: Tree, path: str) -> bool:
    if path.endswith((".toml", ".py")):
        return _NAMES_CODE.search(tree.read_text(path) or "") is not None
    return read_requirements(tree, path)


def _is_file(tree: Tree, asked: str) -> bool:
    # A value that cannot be a path is not looked for: it is judged as a requirement.
    if asked.startswith("-") or not asked.isprintable():
        return False
    found = tree.find(asked)
    return found is not None and not found.is_dir()


def checked_spec(asked: str) -> str:
    """`asked` if it is a requirement; raises `EnvironmentFailed` for a file that is not there."""
    if asked.endswith(_FILE_SUFFIXES):
        raise EnvironmentFailed(
            f"{asked} is not in the task's code",
            why="it was named as the list of requirements",
            fix=f"git add {asked}",
        )
    # Nothing that starts with "-" and nothing of two lines: either could smuggle an option in.
    if _SPEC.match(asked) is None or not asked.isprintable():
        raise EnvironmentFailed(
            f"{asked!r} is not a requirement",
            why="it is neither a file of the task's code nor a name with a version",
            fix='--requirement "numpy>=2"',
        )
    return asked
