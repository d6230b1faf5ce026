"""A host with repositories, their author, and an agent that fetches from it."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from githost import HttpHost, git

from evq.agent.attempts.command import Completed
from evq.agent.sources.credentials import Credentials
from evq.agent.sources.remote import Remote
from evq.core.spec import Repo


class Place:
    """A host with one repository, the author's checkout of it, and an agent's cache."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root, self.cache = folder, folder / "root", folder / "cache"
        self.root.mkdir()
        self.work = self.repository("project")
        self.first = self.commit("one", {"train.py": "print('one')\n", "lib/a.py": "a = 1\n"})
        self.said: list[str] = []
        self.commands: list[list[str]] = []

    def repository(self, name: str) -> Path:
        """The author's checkout of a new repository of the host."""
        git(self.folder, "init", "-q", "--bare", "-b", "main", str(self.root / f"{name}.git"))
        work = self.folder / f"author-{name}"
        git(self.folder, "init", "-q", "-b", "main", str(work))
        git(work, "remote", "add", "origin", str(self.root / f"{name}.git"))
        return work

    def commit(self, message: str, files: dict[str, str | bytes], work: Path | None = None) -> str:
        """Commit and push files; the commit's id."""
        work = work or self.work
        for name, text in files.items():
            path = work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        git(work, "add", "-A")
        git(work, "commit", "-qm", message)
        git(work, "push", "-q", "--no-verify", "--tags", "origin", "HEAD")
        return git(work, "rev-parse", "HEAD")

    async def run(self, argv, *, cwd, env):
        """What an agent runs commands with; it remembers everything that others could read."""
        self.commands.append(list(argv))
        process = await asyncio.create_subprocess_exec(
            *argv, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        said, _ = await process.communicate()
        self.said.append(said.decode(errors="replace"))
        return Completed(exit_code=process.returncode, output=self.said[-1])

    async def checkout(self, url: str, name: str = "work", *, logins=None, pinned=None, **which):
        """Put the code of `url` in place under `name`."""
        remote = Remote(self.cache, logins or Credentials(), self.run)
        return await remote.checkout(Repo(url, **which), self.folder / name, pinned=pinned)

    def nothing_is_left(self) -> bool:
        """Whether no half work tree and no half mirror lies about."""
        halves = [*self.folder.glob(".*.part"), *self.cache.glob("mirrors/.*")]
        return not halves


def logins(host: HttpHost, token: str = "user:s3cret") -> Credentials:
    return Credentials(environment={host.token_name: token})


def spoken(place) -> str:
    """All that a log or the list of processes would have shown."""
    return "\n".join([*place.said, *(" ".join(words) for words in place.commands)])
