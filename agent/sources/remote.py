"""The code of a remote in a work tree: resolved, fetched, checked out, with what belongs to it."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import msgspec

from ...core.errors import CodeFailed, UsageError
from ...core.remotes import Address, check_repo
from ...core.sdk.git import is_sha256, make_repository
from ...core.spec import Repo
from ..attempts.command import Run
from . import lfs
from .credentials import Credentials
from .git import read_tree
from .mirror import Mirror
from .submodules import submodules

DEEPEST = 10
"""How deep submodules may lie in one another."""


class Placed(msgspec.Struct, frozen=True):
    """What was put in place. `cached` says that the network was not needed."""

    commit: str
    cached: bool
    submodules: int = 0
    lfs_files: int = 0

    @property
    def summary(self) -> str:
        """It in a few words: `3f2a1b9c4d5e, 2 submodules, 1 LFS file`."""
        counts = ((self.submodules, "submodule"), (self.lfs_files, "LFS file"))
        said = [f"{count} {what}{'s' * (count != 1)}" for count, what in counts if count]
        return ", ".join([self.commit[:12], *said])


class Remote:
    """Puts code of remotes in place: `cache` keeps the mirrors, `logins` open the hosts."""

    def __init__(self, cache: Path, logins: Credentials, run: Run) -> None:
        self._cache = cache
        self._logins = logins
        self._run = run

    async def checkout(self, repo: Repo, target: Path, *, pinned: str | None = None) -> Placed:
        """Make `target` a work tree of the commit that `repo` means, or of `pinned`.

        Its submodules lie in it as work trees of their own. Raises `CodeFailed` when the code
        cannot be put in place; then nothing is left.
        """
        try:
            address = check_repo(repo)
        except UsageError as error:
            raise CodeFailed(error.what, why=error.why, fix=error.fix) from error
        commit = pinned or await self._mirror(address).resolve(repo)
        asked = pinned is None and commit != repo.commit
        part = target.with_name(f".{target.name}.part")
        await asyncio.to_thread(shutil.rmtree, part, True)
        part.mkdir(parents=True)
        try:
            placed = await self._fill(part, address, commit, repo.lfs, depth=0)
            part.rename(target)
        finally:
            await asyncio.to_thread(shutil.rmtree, part, True)
        return msgspec.structs.replace(placed, cached=placed.cached and not asked)

    def _mirror(self, address: Address) -> Mirror:
        return Mirror(self._cache, self._logins.access(address), self._run)

    async def _fill(
        self, top: Path, address: Address, commit: str, with_lfs: bool, depth: int
    ) -> Placed:
        """Check `commit` out in the empty folder `top`, and its submodules below."""
        mirror = self._mirror(address)
        cached = mirror.has(commit)
        if not cached:
            await mirror.fetch(commit)
        make_repository(top / ".git", head=commit, sha256=is_sha256(commit))
        await mirror.give(top / ".git")
        try:
            await read_tree(self._run, top, commit)
        except CodeFailed:
            # A pack may have been damaged on disk since: the next attempt brings a fresh one.
            await mirror.forget()
            raise
        files = 0
        if with_lfs:
            storage = mirror.folder / "lfs"
            files = await lfs.fill(self._run, top, commit, storage, address, self._logins)
        placed = Placed(commit, cached, 0, files)
        for one in await submodules(top, commit, address):
            if depth == DEEPEST:
                raise CodeFailed(
                    f"the submodule {one.path!r} lies too deep",
                    why=f"submodules may be {DEEPEST} deep",
                )
            inner = await self._fill(
                top / one.path, one.address, one.commit, with_lfs, depth=depth + 1
            )
            placed = Placed(
                commit,
                placed.cached and inner.cached,
                placed.submodules + 1 + inner.submodules,
                placed.lfs_files + inner.lfs_files,
            )
        return placed
