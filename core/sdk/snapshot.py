"""The exact code of a task: what lies on the author's disk, made into git bundles.

    with take(Path.cwd(), Path("train.py")) as snapshot:
        for blob in snapshot.blobs:          # one or two
            if blob.name not in the_store:   # named by content: the same code is sent once
                snapshot.write_bundle(blob, file)

A snapshot is a git commit without history: its tree is the disk, its parent (if the disk differs
from it) a commit of the tree that the author's HEAD has. Both are made up from content alone.
"""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from ..errors import SnapshotRefused
from ..spec import Code
from .git import BASE, REF, shown, write_commit
from .parts import Part, base_tree, changes, disk_tree, look
from .secrets_check import MIB, refuse_unfit
from .worktree import WorkTree, open_folder, open_repository

MAX_FILE = 50 * MIB
MAX_TOTAL = 500 * MIB
COUNTED_COMMITS = 1000
"""`Code.unpushed` counts no further than this."""

_OTHER_FILTER = re.compile(rb"filter=(?!lfs\b)")


class Blob(msgspec.Struct, frozen=True):
    """A bundle to be stored under `name`: the commit `tip`, given that `base` is there."""

    name: str
    tip: str
    base: str | None = None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The code of a task, ready to be sent while the `with` of `take` lasts.

    `code` is what stands in the task's spec: the made-up commit, and where it came from.
    `tree` is the commit's content, `blobs` are the bundles that hold it, in reading order.
    `entry` is where the entry lies, relative to the top level (as `code.folder` is).
    `warnings` are sentences on what does not travel as one might expect.
    """

    kind: Literal["git", "files"]
    code: Code
    tree: str
    blobs: tuple[Blob, ...]
    entry: str | None
    submodules: tuple[str, ...]
    warnings: tuple[str, ...]
    work: WorkTree
    max_total: int

    def write_bundle(self, blob: Blob, out: Path) -> int:
        """Write the bundle of `blob` to the file `out` and return its size in bytes.

        Raises `SnapshotRefused` when the code is bigger than `max_total`.
        """
        contents = [REF + blob.tip, *([f"^{REF}{blob.base}"] if blob.base else [])]
        packed = self.work.git_of_store("rev-list", "--objects", "--disk-usage", *contents)
        if int(packed) > self.max_total:
            raise SnapshotRefused(
                "the code is too big to be sent with the task",
                why=f"it has {int(packed) / MIB:.1f} MiB compressed, "
                f"the limit is {self.max_total / MIB:g}",
                fix="keep data out of the repository: git rm --cached FILE, and add it to "
                ".gitignore",
            )
        self.work.git_of_store("bundle", "create", "--quiet", str(out.absolute()), *contents)
        return out.stat().st_size


@contextmanager
def take(
    cwd: Path,
    entry: Path | None,
    *,
    include: Sequence[str] = (),
    include_folder: bool = False,
    max_file: int = MAX_FILE,
    max_total: int = MAX_TOTAL,
) -> Iterator[Snapshot]:
    """Take the code as it lies on disk around `cwd`, for a task that runs `entry`.

    In a git work tree that is the whole tree: what is committed, staged, changed and untracked,
    but not what is ignored. Elsewhere it is `entry` alone, or the folder `cwd` when `entry` is a
    folder or with `include_folder` (`.gitignore` and `.evqignore` hold there too). `include` are
    files or folders, relative to `cwd`, to be sent although ignored, secret or big.

    Nothing of the repository is touched, and nothing is packed before `write_bundle`.
    Raises `SnapshotRefused`, naming the file, for an untracked file that looks secret or has
    more than `max_file` bytes, for more than `max_total` bytes, and where git cannot read.
    """
    start = cwd.resolve()
    with tempfile.TemporaryDirectory(prefix="evq-snapshot-") as scratch:
        work = _open(start, entry, Path(scratch) / "git", include_folder=include_folder)
        folder = _below(work.top, start) if start.is_relative_to(work.top) else "."
        script = _below(work.top, start / entry) if entry else None

        named = {_below(work.top, start / path) for path in include}
        if script and not (work.top / script).is_dir():
            named.add(script)
        part = look(work, named)
        sent = [one.place(path) for one in part.all() for path in _untracked(one)]
        unasked = [path for path in sent if path not in named]
        refuse_unfit(work.top, unasked, start=folder, max_file=max_file, max_total=max_total)

        tree, blobs = _commit(part)
        yield Snapshot(
            kind="git" if work.kind == "repository" else "files",
            code=_code(part, blobs, folder),
            tree=tree,
            blobs=blobs,
            entry=script,
            submodules=part.index.submodules,
            warnings=_warnings(part),
            work=work,
            max_total=max_total,
        )


def _open(start: Path, entry: Path | None, store: Path, *, include_folder: bool) -> WorkTree:
    """The work tree around `start`; outside of any, the folder whose files may travel."""
    if repository := open_repository(start, store):
        return repository
    if entry and (start / entry).is_dir():
        return open_folder((start / entry).resolve(), store, whole=True)
    if entry and not _parent(start / entry).is_relative_to(start):
        return open_folder(_parent(start / entry), store, whole=include_folder)
    return open_folder(start, store, whole=include_folder)


def _untracked(part: Part) -> tuple[str, ...]:
    return (*part.status.untracked, *part.added)


def _commit(part: Part) -> tuple[str, tuple[Blob, ...]]:
    """The tree of the disk, and the bundles of the commits that stand for it."""
    below = base_tree(part)
    tree = disk_tree(part, below)
    base = write_commit(part.work.store, below or tree, None)
    first = Blob(BASE + base, base)
    if tree == (below or tree):
        return tree, (first,)
    tip = write_commit(part.work.store, tree, base)
    return tree, (first, Blob(f"snap-{tip}", tip, base))


def _parent(path: Path) -> Path:
    return Path(os.path.abspath(path)).parent.resolve()


def _below(top: Path, path: Path) -> str:
    """`path` relative to `top`, its own link (if it is one) not followed."""
    place = _parent(path) / Path(os.path.abspath(path)).name
    if not os.path.lexists(place):
        raise SnapshotRefused(f"{path} does not exist", fix="name an existing file")
    if not place.is_relative_to(top):
        raise SnapshotRefused(
            f"{path} cannot be sent with the task",
            why=f"it is outside {top}, and what is below travels as a whole",
            fix=f"cd {shlex.quote(str(place.parent))} and run it from there",
        )
    below = place.relative_to(top).as_posix()
    if below != shown(below):
        raise SnapshotRefused(
            f"{shown(below)} cannot be named in a task",
            why="its name is not UTF-8",
            fix="rename it",
        )
    return below


def _code(part: Part, blobs: tuple[Blob, ...], folder: str) -> Code:
    code = Code(snapshot=blobs[-1].tip, blobs=tuple(blob.name for blob in blobs), folder=folder)
    work, status = part.work, part.status
    if work.kind != "repository":
        return code
    remote = _remote(work)
    return msgspec.structs.replace(
        code,
        commit=status.commit,
        branch=status.branch,
        remote=remote,
        changes=changes(part),
        unpushed=_unpushed(work, status.commit) if remote and status.commit else None,
    )


def _remote(work: WorkTree) -> str | None:
    """The address of `origin`, or else of the first remote, without what opens it."""
    listed = work.git("config", "-z", "--get-regexp", r"^remote\..*\.url$", accept=(0, 1))
    addresses = dict(line.split("\n", 1) for line in listed.split("\0") if "\n" in line)
    found = addresses.get("remote.origin.url") or next(iter(addresses.values()), None)
    return without_secrets(found) if found else None


def without_secrets(address: str) -> str:
    """The address of a remote without user, password, token and query.

    `ssh://git@host/` and `git@host:` keep their user: it is part of the place, not a secret.
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        return address
    host, slash, path = rest.partition("/")
    user, at, place = host.rpartition("@")
    keep = user.partition(":")[0] + at if scheme.endswith("ssh") else ""
    return f"{scheme}://{keep}{place}{slash}{re.split('[?#]', path)[0]}"


def _unpushed(work: WorkTree, commit: str) -> int:
    """How many commits no remote has, as far as this repository knows; at most 1000."""
    limit = f"--max-count={COUNTED_COMMITS}"
    return int(work.git("rev-list", "--count", limit, commit, "--not", "--remotes"))


def _warnings(part: Part) -> tuple[str, ...]:
    return tuple(sentence for one in part.all() for sentence in _warnings_of(one))


def _warnings_of(part: Part) -> Iterator[str]:
    for path in part.empty:
        yield (
            f"submodule {shown(part.place(path))} is sent as an empty folder: "
            "it is not checked out here"
        )
    for path in part.status.nested:
        yield f"{shown(part.place(path))} is not sent: it is a git repository of its own"
    if pointers := part.lfs.pointers:
        yield (
            f"{len(pointers)} files in LFS are only pointers here, such as "
            f"{shown(part.place(pointers[0]))}: git lfs pull"
        )
    attributes = part.work.top / ".gitattributes"
    if attributes.is_file() and _OTHER_FILTER.search(attributes.read_bytes()):
        yield "files under a git filter are sent as git stores them"
