"""What differs between the code of two tasks: their snapshots, fetched and compared by git."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from ..errors import CodeFailed
from ..ports import Objects
from ..spec import Code
from .git import BASE, QUIET, is_object_id, is_sha256, make_repository

_SAFE = (
    *QUIET,
    *("-c", "transfer.fsckObjects=true"),
    *("-c", "protocol.allow=never"),
    *("-c", "core.attributesFile=/dev/null"),
)
_DIFF = ("diff", "--no-ext-diff", "--no-textconv", "--no-renames")


class FileChange(msgspec.Struct, frozen=True):
    """A file that is not the same. Lines are null in a file that is no text."""

    path: str
    added: int | None
    removed: int | None


class Comparison:
    """Two snapshots in a repository that is gone when its block ends."""

    def __init__(self, folder: Path, old: str, new: str) -> None:
        self._folder = folder
        self._commits = (old, new)

    async def files(self) -> list[FileChange]:
        """The files that differ, with how many lines."""
        told = await _git(self._folder, *_DIFF, "--numstat", "-z", *self._commits)
        return [_file_change(line) for line in told.split("\0") if line]

    async def summary(self, width: int) -> str:
        """The files that differ as `git diff --stat` shows them, in lines of at most `width`."""
        return await _git(self._folder, *_DIFF, f"--stat={width}", *self._commits)

    async def patch(self, *, color: bool) -> str:
        """The lines that differ."""
        wanted = "--color=always" if color else "--color=never"
        return await _git(self._folder, *_DIFF, wanted, *self._commits)


def base_of(code: Code) -> Code | None:
    """What the author had committed; null if the disk did not differ from it, or nothing was."""
    if len(code.blobs) < 2:
        return None
    name = code.blobs[0]
    return Code(name.removeprefix(BASE), (name,)) if name.startswith(BASE) else None


@asynccontextmanager
async def comparison(objects: Objects, old: Code, new: Code) -> AsyncIterator[Comparison]:
    """The two snapshots, fetched from the object store.

    Nothing in them is executed or written as a file. Raises `CodeFailed` if one cannot be had,
    `NotFound` if a bundle is not in the store any more.
    """
    for commit in (old.snapshot, new.snapshot):
        if not is_object_id(commit):
            raise CodeFailed("the task's code cannot be read", why=f"{commit!r} is no commit")
    with tempfile.TemporaryDirectory(prefix="evq-diff-") as name:
        folder = Path(name)
        make_repository(folder / ".git", sha256=is_sha256(old.snapshot))
        for number, blob in enumerate(dict.fromkeys((*old.blobs, *new.blobs))):
            bundle = folder / f"{number}.bundle"
            await objects.get(blob, bundle)
            await _git(folder, "bundle", "unbundle", str(bundle))
        yield Comparison(folder, old.snapshot, new.snapshot)


def _file_change(line: str) -> FileChange:
    added, removed, path = line.split("\t", 2)
    return FileChange(path, *(int(n) if n.isdigit() else None for n in (added, removed)))


async def _git(folder: Path, *arguments: str) -> str:
    git_dir = ("--git-dir", str(folder / ".git"), "--work-tree", str(folder))
    process = await asyncio.create_subprocess_exec(
        *("git", *_SAFE, *git_dir, *arguments),
        cwd=folder,
        env=_environment(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    if process.returncode != 0:
        why = err.decode(errors="replace").strip() or f"git ended with {process.returncode}"
        raise CodeFailed("the code of the two tasks cannot be compared", why=why)
    return out.decode(errors="replace")


def _environment() -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
    }
