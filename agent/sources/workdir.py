"""A task's code, put in place on this machine: bundles in, a private work tree out.

The cache holds one folder per commit, `<cache>/git/<commit>/`, with the packs that make the
commit whole. It appears by one rename when it is complete, and is never changed: no lock is
needed between agents, and a kill at any moment leaves nothing that is half. A work tree gets
hard links to its packs, so it stands on its own when the cache forgets them, also in a container.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ...core.errors import CodeFailed, EvqError
from ...core.sdk.git import REF, is_object_id, is_sha256, make_repository
from ..attempts.command import Run
from .bounds import check_bounds
from .git import LOCAL, damaged, link_packs, read_tree, run_git

_HEADER_BYTES = 64 * 1024
_ABANDONED_S = 24 * 3600
_REMOVALS = 3


class Header(msgspec.Struct, frozen=True):
    """What a bundle says of itself: the commit it brings, and those that must be there."""

    tip: str
    needs: tuple[str, ...]


def has(cache: Path, commit: str) -> bool:
    """Whether `commit` can be checked out without any bundle; marks it as used just now.

    It costs one system call and starts no process.
    """
    try:
        os.utime(_packs(cache, commit))
    except FileNotFoundError:
        return False
    return True


async def checkout(
    blobs: Sequence[Path], commit: str, *, cache: Path, target: Path, run: Run
) -> None:
    """Make `target` a git work tree of its own, with HEAD at `commit`.

    `blobs` are the bundles that bring it, in reading order; those the cache has may be left out,
    and all of them when it `has` the commit. `target` must not exist, its parent must.

    Safe against bundles made to harm: nothing of them is executed, nothing is written outside
    `target`. Raises `CodeFailed` when the code cannot be put in place; then nothing is left.
    """
    _check(commit, target)
    if not has(cache, commit):
        for blob in blobs:
            await _admit(blob, cache, run)
    if not has(cache, commit):
        raise damaged(f"commit {commit} is in none of the {len(blobs)} bundles of the task")
    await _materialise(commit, cache, target, run)


def _check(commit: str, target: Path) -> None:
    if not is_object_id(commit):
        raise damaged(f"{commit!r} is not the id of a commit")
    if os.path.lexists(target):
        raise CodeFailed(
            f"the work directory {target} exists already",
            why="every attempt has its own, so that no attempt sees the files of another",
            fix=f"rm -rf {target}",
        )


async def _admit(blob: Path, cache: Path, run: Run) -> None:
    """Read the bundle `blob` into the cache, complete and checked or not at all."""
    header = read_header(blob)
    if has(cache, header.tip):
        return
    (cache / "git").mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=cache / "git"))
    try:
        repository = scratch / ".git"
        make_repository(repository, sha256=is_sha256(header.tip))
        for commit in header.needs:
            await asyncio.to_thread(_link_packs, cache, commit, repository)
            (repository / REF / commit).write_text(commit + "\n")
        # By its id, not by a name in the bundle: so git checks that this very commit came, and
        # that nothing is missing below it.
        wanted = f"{header.tip}:{REF}{header.tip}"
        quiet = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
        await run_git(run, scratch, "fetch", *quiet, _local(blob), wanted, also=LOCAL)
        await check_bounds(repository, header.tip)
        _publish(repository / "objects" / "pack", _packs(cache, header.tip))
    finally:
        await asyncio.to_thread(remove, scratch)


async def _materialise(commit: str, cache: Path, target: Path, run: Run) -> None:
    """Write the files of `commit` beside `target`, and rename when all are there."""
    part = target.with_name(f".{target.name}.part")
    await asyncio.to_thread(remove, part)
    try:
        make_repository(part / ".git", head=commit, sha256=is_sha256(commit))
        await asyncio.to_thread(_link_packs, cache, commit, part / ".git")
        await read_tree(run, part, commit)
        part.rename(target)
    except CodeFailed:
        # A pack may have been damaged on disk since: the next attempt brings a fresh one.
        _forget(cache, commit)
        raise
    finally:
        await asyncio.to_thread(remove, part)


def _local(blob: Path) -> str:
    # Beginning with a slash, it is neither an option nor the address of another machine.
    return os.path.abspath(blob)


def read_header(blob: Path) -> Header:
    """Read what the bundle at `blob` says of itself; raise `CodeFailed` if it is none of ours."""
    try:
        with blob.open("rb") as file:
            head, end, _ = file.read(_HEADER_BYTES).partition(b"\n\n")
    except OSError as error:
        raise damaged(f"bundle {blob.name} cannot be read: {error.strerror}") from error
    version, *lines = head.decode("ascii", errors="replace").split("\n")
    needs = [line[1:].partition(" ")[0] for line in lines if line.startswith("-")]
    tips = [line.partition(" ")[0] for line in lines if line[:1] not in ("-", "@")]
    known = all(line.startswith("@object-format=") for line in lines if line[:1] == "@")
    if not end or version not in ("# v2 git bundle", "# v3 git bundle") or not known:
        raise damaged(f"{blob.name} is not a git bundle")
    if len(tips) != 1 or not all(map(is_object_id, (*tips, *needs))):
        raise damaged(f"bundle {blob.name} does not hold just one commit")
    return Header(tips[0], tuple(needs))


def _packs(cache: Path, commit: str) -> Path:
    return cache / "git" / commit


def _link_packs(cache: Path, commit: str, repository: Path) -> None:
    try:
        link_packs(_packs(cache, commit), repository)
    except FileNotFoundError as error:
        raise damaged(f"commit {commit}, which it builds on, is not in the cache") from error


def _publish(packs: Path, place: Path) -> None:
    try:
        packs.rename(place)
    except OSError as error:
        # Another agent was sooner with the same commit: its packs are as good.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _forget(cache: Path, commit: str) -> None:
    """Drop `commit` from the cache, and every commit that shares a pack with it."""
    packs = {path.name for path in _listed(_packs(cache, commit))}
    for entry in _listed(cache / "git"):
        if packs & {path.name for path in _listed(entry)}:
            _discard(entry)


def commits(cache: Path) -> list[tuple[str, int, float]]:
    """The commits in the cache, the most recently used first: id, bytes, and when that was.

    A pack that several of them share counts for the first: the bytes are what the others leave.
    """
    found = []
    for entry in _listed(cache / "git"):
        with contextlib.suppress(FileNotFoundError):  # other agents prune, too
            if is_object_id(entry.name):
                found.append((entry.stat().st_mtime, entry))
    counted: set[int] = set()
    weighed = []
    for used, entry in sorted(found, reverse=True):
        sizes = {pack.st_ino: pack.st_size for pack in map(Path.stat, _listed(entry))}
        weighed.append((entry.name, sum(sizes[new] for new in sizes.keys() - counted), used))
        counted |= sizes.keys()
    return weighed


def drop(cache: Path, commit: str) -> None:
    """Remove a commit from the cache. Work trees in use keep their packs."""
    if is_object_id(commit):
        _discard(_packs(cache, commit))


def sweep(cache: Path) -> None:
    """Remove what killed agents left half written, after a day."""
    for entry in _listed(cache / "git"):
        with contextlib.suppress(FileNotFoundError):
            if not is_object_id(entry.name) and entry.stat().st_mtime < time.time() - _ABANDONED_S:
                remove(entry)


def prune(cache: Path, max_bytes: int) -> int:
    """Drop the commits unused for longest until the cache has `max_bytes` at most.

    Returns how many bytes are left.
    """
    sweep(cache)
    kept = 0
    for commit, size, _ in commits(cache):
        if kept + size > max_bytes:
            drop(cache, commit)
        else:
            kept += size
    return kept


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _discard(entry: Path) -> None:
    """Remove a commit from the cache as it came: whole, by one rename."""
    trash = Path(tempfile.mkdtemp(prefix=".old-", dir=entry.parent))
    with contextlib.suppress(FileNotFoundError):  # another agent was sooner
        entry.rename(trash / entry.name)
    remove(trash)


def remove(target: Path) -> None:
    """Delete a work directory with all that a task left there, also folders it made read-only.

    Does nothing where there is none. Blocks for as long as the files take: call it in a thread.
    Raises `EvqError` for what this user may not delete, such as files of a container's root.
    """
    failed: OSError | None = None
    for _ in range(_REMOVALS):
        try:
            shutil.rmtree(target)
            return
        except FileNotFoundError as error:
            if not os.path.lexists(target):
                return
            failed = error  # somebody else deletes in there
        except OSError as error:
            failed = error
            _open_up(target)
    raise EvqError(
        f"the work directory {target} could not be removed",
        why=str(failed),
        fix=f"sudo rm -rf {target}",
    ) from failed


def _open_up(target: Path) -> None:
    """Allow the owner everything in `target` and the folders below it, as far as they are his."""
    with contextlib.suppress(PermissionError):
        target.chmod(0o700)
        for folder, folders, _ in os.walk(target):
            for path in (os.path.join(folder, name) for name in folders):
                if not os.path.islink(path):
                    os.chmod(path, 0o700)
