"""The submodules of a commit: read from its `.gitmodules`, put in place without `git submodule`.

Git's own command keeps names and addresses in the repository's configuration and its folders, and
most of what was ever found against submodules is in there. Here a submodule is a path that git
itself checked, a commit, and an address of a known form; its name is never used.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

from ...core.errors import CodeFailed, UsageError
from ...core.remotes import Address, beside
from .git import damaged, query

MOST = 500
"""How many submodules a commit may have."""

_SETTING = re.compile(r"submodule\.(?P<name>.*)\.(?P<key>path|url)\n(?P<value>.*)\Z", re.DOTALL)


class Submodule(msgspec.Struct, frozen=True):
    """A folder of the work tree that is the `commit` of another repository."""

    path: str
    commit: str
    address: Address


async def submodules(top: Path, commit: str, parent: Address) -> list[Submodule]:
    """The submodules of `commit`, which is checked out at `top`. Raises `CodeFailed`.

    Folders that the tree calls a submodule but `.gitmodules` does not know stay empty.
    """
    links = await _links(top) if _may_have_some(top) else {}
    if not links:
        return []
    if len(links) > MOST:
        raise CodeFailed(f"the code has {len(links)} submodules", why=f"it may have {MOST}")
    addresses = await _addresses(top, commit)
    found = []
    for path, linked in links.items():
        if path not in addresses:
            continue
        _check_place(top, path)
        try:
            found.append(Submodule(path, linked, beside(parent, addresses[path])))
        except UsageError as error:
            raise CodeFailed(
                f"the submodule {path!r} is not fetched", why=str(error), fix=error.fix
            ) from error
    return found


def _may_have_some(top: Path) -> bool:
    # Most code has none, and a process that finds so costs as much as a small checkout.
    return os.path.lexists(top / ".gitmodules")


async def _links(top: Path) -> dict[str, str]:
    """The commit of each path that the index of `top` calls a submodule."""
    listed = await _say(top, "ls-files", "--stage", "-z")
    return {
        path: commit
        for commit, path in re.findall(r"(?:^|\0)160000 ([0-9a-f]+) 0\t([^\0]+)", listed)
    }


async def _addresses(top: Path, commit: str) -> dict[str, str]:
    """The address of each path in `.gitmodules`, read as git stores it and not from the disk."""
    kind = await _say(top, "ls-tree", commit, "--", ".gitmodules")
    if not kind.startswith("100"):
        raise CodeFailed("the code's .gitmodules is no file", why=kind.partition("\t")[0])
    blob = f"{commit}:.gitmodules"
    listed = await _say(top, "config", "-z", "--no-includes", "--blob", blob, "--list")
    by_name: dict[str, dict[str, str]] = {}
    for line in listed.split("\0"):
        if setting := _SETTING.match(line):
            by_name.setdefault(setting["name"], {})[setting["key"]] = setting["value"]
    return {one["path"]: one["url"] for one in by_name.values() if {"path", "url"} <= one.keys()}


async def _say(top: Path, *words: str) -> str:
    status, said = await query(top / ".git", *words)
    if status != 0:
        raise damaged(f"git {words[0]} of the submodules ended with {status}")
    return said


def _check_place(top: Path, path: str) -> None:
    """Raise `CodeFailed` unless `path` is an empty folder of `top` itself, behind no link."""
    place = top / path
    if os.path.realpath(place) != os.path.join(os.path.realpath(top), path):
        raise CodeFailed(f"the submodule {path!r} is not put in place", why="its path leads away")
    if not place.is_dir() or any(place.iterdir()):
        raise CodeFailed(f"the submodule {path!r} is not put in place", why="its folder is taken")
