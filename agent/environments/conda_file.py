"""Reading conda's `environment.yml` as far as it leads to other files of the tree.

Its lines are read, not its YAML: for the digest the whole file counts, and what pip is to install
stands in a list of its own, one requirement a line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from ...core.errors import EnvironmentFailed
from .base import Recipe, Request
from .local_code import names_local_code
from .project import private_note
from .requirements import included, read_requirements
from .tree import Tree, upward

_NAMES = ("environment.yml", "environment.yaml")
_SUFFIXES = (".yml", ".yaml")
_PIP = re.compile(r"^(?P<indent>\s*)-\s+pip:\s*(#.*)?$")
_ITEM = re.compile(r"^(?P<indent>\s*)-\s+(?P<text>.+?)\s*$")
_COMMENT = re.compile(r"\s#.*$")


def find_named_conda(tree: Tree, request: Request) -> Recipe | None:
    """The recipe of a file of conda's that was named with the task: `-r env/gpu.yml`."""
    named = [path for path in request.requirements if path.endswith(_SUFFIXES)]
    if not named:
        if request.manager == "conda" and request.requirements:
            raise _not_conda(request.requirements[0])
        return None
    if others := [word for word in request.requirements if word not in named]:
        raise _not_conda(others[0])
    if len(named) > 1:
        raise EnvironmentFailed(
            f"{' and '.join(named)} cannot be one environment",
            why="conda makes an environment of one file",
            fix=f"-r {named[0]}",
        )
    if tree.find(named[0]) is None:
        raise EnvironmentFailed(
            f"{named[0]} is not in the task's code",
            why="it was named as the list of requirements",
            fix=f"git add {named[0]}",
        )
    return _recipe(tree, ".", named[0])


def find_conda(tree: Tree, request: Request) -> Recipe | None:
    """The recipe of the nearest `environment.yml`, from the script upward."""
    for folder in upward(request.start):
        for name in _NAMES:
            path = os.path.normpath(os.path.join(folder, name))
            if tree.find(path) is not None:
                return _recipe(tree, folder, path)
    return None


def _not_conda(word: str) -> EnvironmentFailed:
    return EnvironmentFailed(
        f"{word} cannot be added to an environment of conda",
        why="conda makes an environment of one file, such as environment.yml",
        fix="put it into that file, or --env uv",
    )


def _recipe(tree: Tree, folder: str, path: str) -> Recipe:
    text = tree.read_text(path) or ""
    tree.refer(text)
    private = False
    for line in _for_pip(text):
        file = included(line)
        if file is None or "://" in file:
            private |= file is not None or names_local_code(line)
        else:
            # conda calls pip in the folder of the file.
            private |= read_requirements(tree, os.path.join(os.path.dirname(path), file))
    return Recipe(
        manager="conda",
        kind="conda",
        source=path,
        folder=folder,
        files=(path,),
        private=private,
        notes=private_note(private),
    )


def _for_pip(text: str) -> Iterator[str]:
    """The requirements under `- pip:`."""
    inside: int | None = None
    for line in text.splitlines():
        if opened := _PIP.match(line):
            inside = len(opened["indent"])
        elif inside is not None and (item := _ITEM.match(line)) is not None:
            if len(item["indent"]) <= inside:
                inside = None
            else:
                yield _COMMENT.sub("", item["text"]).strip("\"'")
