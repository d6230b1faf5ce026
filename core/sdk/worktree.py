"""The author's work tree, read by git, with nothing of the author's repository touched.

Git reads the repository's objects, but writes to a repository of its own (the store): new
objects go there, and so do all changes of the index, which is a copy.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from ..errors import SnapshotRefused, UsageError
from .git import QUIET, make_repository

# Caches and environments that nobody means to send, where there is no .gitignore to say so.
_NEVER_MEANT = "__pycache__/\n*.py[co]\n.venv/\nvenv/\nnode_modules/\n.ipynb_checkpoints/\n"

_ENTRY_FIELDS = {"1": 8, "u": 10}
"""How many fields stand before the path, for each kind of entry in git's status."""


class Status(msgspec.Struct, frozen=True):
    """How the disk differs from the last commit; paths are relative to the top level.

    `updated` and `deleted` are the files whose content on disk is not in the index yet,
    `nested` the repositories that stand inside this one untracked.
    """

    commit: str | None = None
    branch: str | None = None
    staged: int = 0
    updated: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()
    nested: tuple[str, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether anything on disk or in the index is not as in the last commit."""
        return bool(self.staged or self.updated or self.deleted or self.untracked)


def read_status(said: str) -> Status:
    """The meaning of `git status --porcelain=v2 --branch -z --no-renames`."""
    commit = branch = None
    staged = 0
    updated: list[str] = []
    deleted: list[str] = []
    untracked: list[str] = []
    nested: list[str] = []
    for line in said.split("\0"):
        kind, _, rest = line.partition(" ")
        if kind == "#":
            header, _, value = rest.partition(" ")
            commit = value if header == "branch.oid" else commit
            branch = value if header == "branch.head" else branch
        elif kind == "?":
            (nested if rest.endswith("/") else untracked).append(rest)
        elif fields := _ENTRY_FIELDS.get(kind):
            in_index, on_disk = rest[0], rest[1]
            path = line.split(" ", fields)[fields]
            staged += in_index != "."
            if kind == "1" and on_disk == "D":
                deleted.append(path)
            elif kind == "u" or on_disk != ".":
                updated.append(path)
    return Status(
        commit=None if commit == "(initial)" else commit,
        branch=None if branch == "(detached)" else branch,
        staged=staged,
        updated=tuple(updated),
        deleted=tuple(deleted),
        untracked=tuple(untracked),
        nested=tuple(nested),
    )


class Index(msgspec.Struct, frozen=True):
    """What git tracks: every path, and which of them are submodules."""

    tracked: frozenset[str] = frozenset()
    submodules: tuple[str, ...] = ()


class WorkTree(msgspec.Struct, frozen=True):
    """A folder as git sees it: read from `top`, written to `store`.

    `kind` says which files travel without being named: those of a repository, all that lie in
    a folder, or none.
    """

    kind: Literal["repository", "folder", "none"]
    top: Path
    store: Path
    variables: Mapping[str, str]

    def git(
        self,
        *arguments: str,
        paths: Iterable[str] = (),
        stdin: str = "",
        accept: Sequence[int] = (0,),
    ) -> str:
        """What git answers, `paths` (or the text `stdin`) being handed to it on its standard input.

        Raises `SnapshotRefused`, in git's own words, for an exit status not in `accept`.
        """
        names = "".join(f"{path}\0" for path in paths)
        return _git(arguments, self.top, self.variables, stdin or names, accept)

    def git_of_store(self, *arguments: str) -> str:
        """What git answers about the store, where the commits are that stand for the disk."""
        return _git(arguments, self.top, {**self.variables, "GIT_DIR": str(self.store)})

    def status(self) -> Status:
        """How the disk differs from the last commit, and the index of `store` refreshed."""
        if self.kind == "none":
            return Status()
        said = self.git(
            *("status", "--porcelain=v2", "--branch", "-z", "--no-renames", "--no-ahead-behind"),
            *("--untracked-files=all", "--ignore-submodules=all"),
        )
        return read_status(said)

    def read_index(self) -> Index:
        """What git tracks; it is made to look at files it was told to assume unchanged."""
        # One listing without a look at the disk: it costs a tenth of a refresh.
        listed = self.git("ls-files", "-v", "--stage", "-z")
        if re.search(r"(?:^|\0)[a-z] ", listed):
            self.git("update-index", "-q", "--really-refresh", accept=(0, 1))
        return Index(
            tracked=frozenset(re.findall(r"\t([^\0]+)\0", listed)),
            submodules=tuple(re.findall(r"(?:^|\0). 160000 \S+ 0\t([^\0]+)", listed)),
        )

    def with_index(self, name: str) -> WorkTree:
        """The same work tree with another, empty index."""
        index = {"GIT_INDEX_FILE": str(self.store / f"index-{name}")}
        return msgspec.structs.replace(self, variables={**self.variables, **index})

    def read_also(self, other: WorkTree) -> None:
        """Let git find the objects of `other` here, too."""
        seen = (other.store / "objects" / "info" / "alternates").read_bytes()
        with (self.store / "objects" / "info" / "alternates").open("ab") as file:
            # All of them, not the first that knows the others: git follows only five such steps.
            file.write(os.fsencode(other.store / "objects") + b"\n" + seen)

    def graft(self, path: str, tree: str) -> None:
        """Put `tree` into the index as the folder `path`, in the place of a submodule's link."""
        self.git("update-index", "--force-remove", "-z", "--stdin", paths=[path])
        self.git("read-tree", f"--prefix={path}/", tree)

    def add(self, status: Status, included: Iterable[str]) -> None:
        """Store the disk's content and put it into the index.

        Exactly the files of `status` and `included` are added, never what appeared since: those
        were checked. Deletions go first, because a folder may now be a link or a file.
        """
        added = (*status.updated, *status.untracked, *included)
        if status.deleted:
            self.git("update-index", "--force-remove", "-z", "--stdin", paths=status.deleted)
        if added:
            self.git(
                *("update-index", "--add", "--remove", "--replace", "-z", "--stdin"), paths=added
            )


def open_repository(cwd: Path, store: Path) -> WorkTree | None:
    """The work tree around `cwd` as git sees it, or None outside of any."""
    try:
        answer = _git(
            [
                *("rev-parse", "--path-format=absolute", "--show-object-format"),
                *("--show-toplevel", "--git-dir"),
                *("--git-path", "index", "--git-path", "objects"),
            ],
            cwd,
            _environment(),
        )
    except SnapshotRefused as refused:
        if "not a git repository" in refused.why:
            return None
        raise
    try:
        naming, top, git_dir, index, objects = answer.splitlines()
    except ValueError:
        raise SnapshotRefused(
            "the path of this repository cannot be used",
            why="there is a line break in it",
            fix="move the repository to a folder without one",
        ) from None
    make_repository(store, sha256=naming == "sha256")
    (store / "objects" / "info").mkdir()
    (store / "objects" / "info" / "alternates").write_bytes(os.fsencode(objects) + b"\n")
    if os.path.exists(index):
        # With its times: git takes a file as old as the index for possibly changed, and a
        # copy made later would hide a change made in the same tick.
        shutil.copy2(index, store / "index")
    return WorkTree("repository", Path(top), store, _environment(store, Path(git_dir), Path(top)))


def open_folder(top: Path, store: Path, *, whole: bool) -> WorkTree:
    """A folder that is in no repository, as git would see it: all of it untracked.

    Unless `whole`, nothing in it travels but what is named.
    """
    make_repository(store)
    ignore = top / ".evqignore"
    (store / "info").mkdir()
    (store / "info" / "exclude").write_bytes(
        _NEVER_MEANT.encode() + (ignore.read_bytes() if ignore.is_file() else b"")
    )
    return WorkTree("folder" if whole else "none", top, store, _environment(store, store, top))


def _environment(
    store: Path | None = None, git_dir: Path | None = None, top: Path | None = None
) -> dict[str, str]:
    """The caller's environment, rid of what would point git elsewhere."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    inherited |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_REPLACE_OBJECTS": "1"}
    if store is None:
        return inherited
    return inherited | {
        "GIT_DIR": str(git_dir),
        "GIT_WORK_TREE": str(top),
        "GIT_INDEX_FILE": str(store / "index"),
        "GIT_OBJECT_DIRECTORY": str(store / "objects"),
    }


def _git(
    arguments: Sequence[str],
    cwd: Path,
    variables: Mapping[str, str],
    stdin: str = "",
    accept: Sequence[int] = (0,),
) -> str:
    try:
        done = subprocess.run(
            ["git", *QUIET, *arguments],
            cwd=cwd,
            env=variables,
            input=os.fsencode(stdin),
            capture_output=True,
        )
    except FileNotFoundError:
        raise SnapshotRefused(
            "git is not installed here",
            why="a task's code is sent as git sees it, also where there is no repository",
            fix="install git 2.31 or newer, and have it on PATH",
        ) from None
    if done.returncode not in accept:
        raise _refusal(arguments[0], done.stderr.decode(errors="replace").strip())
    return os.fsdecode(done.stdout)


def _refusal(verb: str, said: str) -> UsageError:
    why = "; ".join(said.splitlines()[-3:]) or f"git {verb} failed without a word"
    if broken := re.search(r"clean filter '(.+)' failed", said):
        return SnapshotRefused(
            f"the git filter {broken[1]!r} does not work here, and files of this tree need it",
            why=why,
            fix=f"install what filter.{broken[1]}.clean names (git config --get-regexp filter)",
        )
    if "dubious ownership" in said:
        return SnapshotRefused(
            "git does not trust this repository",
            why="it belongs to another user",
            fix="git config --global --add safe.directory FOLDER",
        )
    return SnapshotRefused(f"git {verb} failed", why=why, fix="git status")
