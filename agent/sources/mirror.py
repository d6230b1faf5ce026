"""One remote's code on this machine: a bare repository that only ever gains commits.

`<cache>/mirrors/<digest of the address>/` holds packs, one reference for each commit that is
there whole, and the address for people. A commit comes without its history, as a snapshot does,
and next to what is there already only the difference is sent. Fetching takes the lock beside the
folder; a work tree is given hard links to the packs without it, so a warm start waits for nobody
and the mirror may go while the attempt runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path

from ...core.errors import CodeFailed
from ...core.sdk.git import REF, is_object_id, is_sha256, make_repository
from ...core.spec import Repo
from ..attempts.command import Completed, Run
from ..environments.locks import hold
from . import bounds
from .credentials import Access
from .explain import explain, unknown_revision
from .git import link_packs, query, try_git
from .keeping import ADDRESS, discard, lock_of, place

PACKS = 50
"""So many packs are made one: a work tree has a link to each."""

_ARRIVED = "refs/arrived/"
_LISTED = re.compile(r"^([0-9a-f]{40}|[0-9a-f]{64})\t(\S+)$", re.MULTILINE)
_ABBREVIATED = re.compile(r"[0-9a-f]{4,}\Z")
_QUIET = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
_OLD_MISTAKES = tuple(
    word
    for mistake in ("zeroPaddedFilemode", "badTimezone", "missingSpaceBeforeDate", "missingEmail")
    for word in ("-c", f"fetch.fsck.{mistake}=ignore")
)
"""What known repositories have in their past, and what does no harm."""

_NOT_BY_ID = re.compile(r"not our ref|unadvertised object|does not support shallow|dumb http")


class Mirror:
    """The code of the remote that `access` leads to, under `cache`."""

    def __init__(self, cache: Path, access: Access, run: Run) -> None:
        self._access = access
        self._run = run
        self.folder = place(cache, access.address.text)
        self._lock = lock_of(self.folder)

    def has(self, commit: str) -> bool:
        """Whether `commit` can be checked out without the network; marks it as used just now."""
        try:
            os.utime(self.folder / REF / commit)
            os.utime(self.folder)
        except FileNotFoundError:
            return False
        return True

    async def resolve(self, repo: Repo) -> str:
        """The id of the commit that `repo` means; asks the remote unless it is a whole id."""
        if repo.commit and is_object_id(repo.commit):
            return repo.commit
        if repo.commit is None:
            wanted = f"refs/heads/{repo.branch}" if repo.branch else "HEAD"
            found = await self._listed(wanted)
            if wanted in found:
                return found[wanted]
            return await self._unknown(repo.branch or "HEAD", "branch", "--heads")
        tag = f"refs/tags/{repo.commit}"
        peeled, branch = tag + "^{}", f"refs/heads/{repo.commit}"
        found = await self._listed(tag, peeled, branch)
        if commit := found.get(peeled) or found.get(tag) or found.get(branch):
            return commit
        if _ABBREVIATED.match(repo.commit) and (commit := await self._whole(repo.commit)):
            return commit
        return await self._unknown(repo.commit, "commit or tag", "--tags")

    async def _listed(self, *patterns: str) -> dict[str, str]:
        """What the remote has, by the names of its references."""
        options = [word for word in patterns if word.startswith("--")]
        names = [word for word in patterns if not word.startswith("--")]
        done = await self._ask("ls-remote", *options, "--", self._access.address.text, *names)
        if done.exit_code != 0:
            raise explain(done, self._access.address)
        return {name: commit for commit, name in _LISTED.findall(done.output)}

    async def _unknown(self, wanted: str, what: str, kind: str) -> str:
        known = [name.split("/", 2)[-1] for name in await self._listed(kind) if "^" not in name]
        raise unknown_revision(wanted, what, known, self._access.address)

    async def _whole(self, beginning: str) -> str | None:
        """The id that begins so: of a commit that is here, or else in the remote's history."""
        here = [path.name for path in _listed(self.folder / REF) if path.name.startswith(beginning)]
        if len(here) == 1:
            return here[0]
        # Only the history knows all ids, so it is fetched for once, and forgotten.
        scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=self.folder.parent))
        try:
            make_repository(scratch / "git")
            done = await self._fetch(scratch / "git", "+refs/heads/*:refs/heads/*")
            if done.exit_code != 0:
                raise explain(done, self._access.address)
            wanted = f"{beginning}^{{commit}}"
            status, said = await query(scratch / "git", "rev-parse", "--verify", "--quiet", wanted)
            return said.strip() if status == 0 else None
        finally:
            await asyncio.to_thread(shutil.rmtree, scratch, True)

    async def fetch(self, commit: str) -> None:
        """Have `commit` here, whole and within bounds. Raises `CodeFailed`."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with await hold(self._lock):
            if self.has(commit):
                return
            if self.folder.exists():
                self._clear_halves()
            else:
                await asyncio.to_thread(self._make, is_sha256(commit))
            try:
                await self._bring(commit)
                await bounds.check_bounds(self.folder, commit)
            except CodeFailed:
                self._clear_halves()
                if not _listed(self.folder / REF):
                    await asyncio.to_thread(shutil.rmtree, self.folder, True)
                raise
            # Only now: whoever sees this file takes the commit without asking further.
            (self.folder / REF / commit).write_text(commit + "\n")
            if len(_listed(self.folder / "objects" / "pack")) > 3 * PACKS:
                await query(self.folder, "repack", "-a", "-d", "-q")

    def _clear_halves(self) -> None:
        """Remove what a git that was killed left: packs not whole, and its own locks."""
        for pattern in ("objects/pack/tmp_*", "*.lock", "refs/**/*.lock"):
            for half in self.folder.glob(pattern):
                half.unlink()

    def _make(self, sha256: bool) -> None:
        part = Path(tempfile.mkdtemp(prefix=".new-", dir=self.folder.parent))
        make_repository(part / "git", sha256=sha256)
        (part / "git" / ADDRESS).write_text(self._access.address.text + "\n")
        (part / "git").rename(self.folder)
        part.rmdir()

    async def _bring(self, commit: str) -> None:
        wanted = f"+{commit}:{_ARRIVED}{commit}"
        done = await self._fetch(self.folder, wanted, "--depth=1")
        if done.exit_code != 0 and _NOT_BY_ID.search(done.output):
            # A server that gives only what it lists: then all that it lists, with its history.
            done = await self._fetch(self.folder, "+refs/heads/*:refs/heads/*", "--tags")
            if done.exit_code == 0:
                named = ("update-ref", _ARRIVED + commit, f"{commit}^{{commit}}")
                if (await query(self.folder, *named))[0] != 0:
                    raise unknown_revision(commit[:12], "commit", (), self._access.address)
        if done.exit_code != 0:
            raise explain(done, self._access.address)

    async def _fetch(self, repository: Path, wanted: str, *more: str) -> Completed:
        address = self._access.address.text
        # Packs stay packs, to be linked; `--end-of-options` is unknown to older servers' helpers.
        return await self._ask(
            *("--git-dir", str(repository), "-c", "fetch.unpackLimit=1"),
            *("-c", "fetch.fsckObjects=true", *_OLD_MISTAKES),
            *("fetch", *_QUIET, *more, "--", address, wanted),
        )

    async def _ask(self, *words: str) -> Completed:
        """Run git against the remote; no file that it makes may grow without bounds."""
        access = self._access
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        return await try_git(
            self._run,
            self.folder.parent,
            *words,
            also=access.options,
            variables=access.variables,
            file_bytes=bounds.MAX_BYTES,
        )

    async def give(self, repository: Path) -> None:
        """Give `repository`, just made, all that it needs to check out what is here."""
        try:
            await asyncio.to_thread(self._link, repository)
        except FileNotFoundError:
            # The packs were just made one: when that is done they stand still.
            with await hold(self._lock):
                await asyncio.to_thread(self._link, repository)

    def _link(self, repository: Path) -> None:
        link_packs(self.folder / "objects" / "pack", repository)
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(self.folder / "shallow", repository / "shallow")

    async def forget(self) -> None:
        """Drop what is here, because it is damaged."""
        with await hold(self._lock):
            await asyncio.to_thread(discard, self.folder)


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []
