"""How much code may be: a few bytes of git can stand for more files than a disk holds.

A tree may name the same subtree again and again, ten times in ten levels, and a pack of a
megabyte may hold a file of a terabyte. So a commit is counted before it is written.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from ...core.errors import CodeFailed
from ...core.units import size_text
from .git import SAFE, damaged, environment

MAX_FILES = 1_000_000
"""How many files a commit may have."""

MAX_BYTES = 32 * 2**30
"""How many bytes they may have together, and how many git may fetch at once."""


async def check_bounds(repository: Path, commit: str) -> None:
    """Raise `CodeFailed` if the files of `commit` are too many, or too big together."""
    files, size = await _count(repository, commit)
    if files > MAX_FILES or size > MAX_BYTES:
        what = f"more than {MAX_FILES} files" if files > MAX_FILES else "files that are too big"
        raise CodeFailed(
            "the task's code is too big to be put in place",
            why=f"commit {commit[:12]} has {what}; together they may have {size_text(MAX_BYTES)}",
            fix="keep data out of the repository",
        )


async def _count(repository: Path, commit: str) -> tuple[int, int]:
    """The files of `commit` and their bytes, counted no further than the bounds."""
    # Not by `Run`: its output would fill the task's log, and it is counted while it comes.
    process = await asyncio.create_subprocess_exec(
        *("git", *SAFE, "--git-dir", str(repository)),
        *("ls-tree", "-r", "-l", "-z", "--full-tree", commit),
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        stdin=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    files = size = 0
    rest = b""
    while part := await process.stdout.read(2**16):
        *entries, rest = (rest + part).split(b"\0")
        files += len(entries)
        size += sum(_size(entry) for entry in entries)
        if files > MAX_FILES or size > MAX_BYTES:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            break
    # Read to the end, or the pipe stays open and asyncio waits for it for ever.
    await process.communicate()
    if not part and process.returncode != 0:
        raise damaged(f"the files of commit {commit} cannot be listed")
    return files, size


def _size(entry: bytes) -> int:
    # "<mode> <type> <id> <size>\t<path>"; a submodule has "-" for a size.
    size = entry.partition(b"\t")[0].split()[-1]
    return int(size) if size.isdigit() else 0
