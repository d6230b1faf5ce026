"""Files that git keeps in LFS: what travels is their content, as it lies on the disk.

Git itself would store a pointer, and an agent could only follow it with git-lfs and a login.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from pathlib import Path

import msgspec

from .worktree import Index, WorkTree

_POINTER = b"version https://git-lfs.github.com/spec/"
_POINTER_BYTES = 1024


class Files(msgspec.Struct, frozen=True):
    """The files that are in LFS: those whose content is `there`, those that are but `pointers`."""

    there: tuple[str, ...] = ()
    pointers: tuple[str, ...] = ()


def find(work: WorkTree, index: Index, others: Sequence[str]) -> Files:
    """The files in LFS among those that git tracks and `others`."""
    paths = [*index.tracked, *others]
    if work.kind != "repository" or not _speaks_of_lfs(work.top, paths):
        return Files()
    said = work.git("check-attr", "-z", "--stdin", "filter", paths=paths).split("\0")
    marked = [path for path, value in zip(said[0::3], said[2::3], strict=False) if value == "lfs"]
    # Git reads the names of files to be hashed line by line.
    files = sorted(path for path in marked if "\n" not in path and _is_file(work.top / path))
    pointers = {path for path in files if _is_pointer(work.top / path)}
    return Files(tuple(path for path in files if path not in pointers), tuple(sorted(pointers)))


def _speaks_of_lfs(top: Path, paths: Sequence[str]) -> bool:
    rules = (top / path for path in paths if posixpath.basename(path) == ".gitattributes")
    return any(_is_file(rule) and b"filter=lfs" in rule.read_bytes() for rule in rules)


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _is_pointer(path: Path) -> bool:
    if path.stat().st_size > _POINTER_BYTES:
        return False
    return path.read_bytes().startswith(_POINTER)


def put_contents(work: WorkTree, paths: Sequence[str]) -> None:
    """Put the content of `paths` into the index, as it is on the disk."""
    if not paths:
        return
    # Such files are large and seldom compress: they are compressed when they are sent.
    quick = ("-c", "core.looseCompression=0")
    lines = "".join(f"{path}\n" for path in paths)
    listed = work.git(*quick, "hash-object", "-w", "--no-filters", "--stdin-paths", stdin=lines)
    modes = ["100755" if os.access(work.top / path, os.X_OK) else "100644" for path in paths]
    entries = [
        f"{mode} {name}\t{path}"
        for mode, name, path in zip(modes, listed.split(), paths, strict=True)
    ]
    work.git("update-index", "-z", "--index-info", paths=entries)
