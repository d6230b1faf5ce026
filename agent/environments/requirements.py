"""What a requirements file leads to: the files it includes, the code in the tree it names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from ...core.errors import EnvironmentFailed
from .tree import Tree

_COMMENT = re.compile(r"(^|\s)#.*$")
_INCLUDE = re.compile(
    r"(?:-r|--requirements?|-c|--constraints?)(?:\s*=\s*|\s+|(?<=-[rc]))(?P<path>\S+)"
)
_LOCAL = re.compile(
    r"""(-e|--editable)\b          # a folder to build in place
    | (-f|--find-links)(?!.*://)   # a folder of wheels
    | [./~] | file: | \$\{         # a path
    | \S*\s*@\s*(file:|[./~]|\$\{) # a name and a path
    | [^\s@:;]+/                   # a relative path
    | [^\s@:;]+\.(whl|zip|tar\.gz)\b
    """,
    re.VERBOSE,
)


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
        for line in _lines(_text(tree, current, path)):
            include = _INCLUDE.match(line)
            if include is None:
                uncovered = uncovered or names_local_code(line)
            elif "://" in include["path"]:
                uncovered = True
            else:
                pending.append(os.path.join(os.path.dirname(current), include["path"].strip("\"'")))
    return uncovered


def names_local_code(requirement: str) -> bool:
    """Whether one requirement is a file or folder instead of a package of an index."""
    return _LOCAL.match(requirement) is not None


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
