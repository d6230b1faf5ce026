"""What a requirements file leads to: the files it includes, the code in the tree it names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from ...core.errors import EnvironmentFailed
from .base import Recipe, Request
from .local_code import names_local_code
from .project import private_note
from .tree import Tree, upward

_COMMENT = re.compile(r"(^|\s)#.*$")
_INCLUDE = re.compile(
    r"(?:-r|--requirements?|-c|--constraints?)(?:\s*=\s*|\s+|(?<=-[rc]))(?P<path>\S+)"
)


def find_requirements(tree: Tree, request: Request) -> Recipe | None:
    """The recipe of the nearest `requirements.txt`, from the script upward."""
    for folder in upward(request.start):
        path = os.path.normpath(os.path.join(folder, "requirements.txt"))
        if tree.read(path) is None:
            continue
        private = read_requirements(tree, path)
        return Recipe(
            manager="uv",
            kind="requirements",
            source=path,
            folder=folder,
            files=(path,),
            private=private,
            notes=private_note(private),
        )
    return None


def read_requirements(tree: Tree, path: str) -> bool:
    """Read `path` and all that it includes into the digest of `tree`.

    Returns whether they lead to something that the digest does not cover: a folder or a file to
    be installed, a list behind a URL. Raises `EnvironmentFailed` for an include that is not in
    the tree.
    """
    uncovered = False
    pending, seen = [path], set[str]()
    while pending:
        current = os.path.normpath(pending.pop())
        if current in seen:
            continue
        seen.add(current)
        text = _text(tree, current, path)
        tree.refer(text)
        for line in _lines(text):
            file = included(line)
            if file is None:
                uncovered = uncovered or names_local_code(line)
            elif "://" in file:
                uncovered = True
            else:
                pending.append(os.path.join(os.path.dirname(current), file))
    return uncovered


def included(line: str) -> str | None:
    """The file that a line of requirements includes, or None if it includes none."""
    include = _INCLUDE.match(line)
    return include["path"].strip("\"'") if include else None


def _text(tree: Tree, path: str, asked: str) -> str:
    if (text := tree.read_text(path)) is None:
        raise EnvironmentFailed(
            f"{path} is not in the task's code",
            why=f"{asked} includes it" if path != os.path.normpath(asked) else "",
            fix=f"git add {path}",
        )
    return text


def _lines(text: str) -> Iterator[str]:
    for line in text.replace("\\\r\n", " ").replace("\\\n", " ").splitlines():
        if stripped := _COMMENT.sub("", line).strip():
            yield stripped
