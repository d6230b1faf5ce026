"""A work tree with the submodules in it: read one by one, made into one tree of git.

Each submodule that is checked out is a `Part` of its own, with its own index and its own ignored
files. Its tree stands in the tree above in the place of the link that git keeps there, so that
what travels is a plain tree: whoever runs it needs neither the submodule's history nor its remote.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import msgspec

from . import lfs
from .worktree import Index, Status, WorkTree, open_repository


class Part(msgspec.Struct, frozen=True):
    """One repository of the code, at `path` below the top level ("" for the top itself).

    `added` are files that were asked for though git would not send them, `empty` the submodules
    that are not checked out here; all paths are relative to the part's own top.
    """

    path: str
    work: WorkTree
    index: Index
    status: Status
    added: tuple[str, ...]
    inner: tuple[Part, ...]
    empty: tuple[str, ...]
    lfs: lfs.Files

    def place(self, path: str) -> str:
        """`path` of this part, as it is called from the top level."""
        return f"{self.path}/{path}" if self.path else path

    def all(self) -> Iterator[Part]:
        """This part and those below it."""
        yield self
        for part in self.inner:
            yield from part.all()


def look(work: WorkTree, named: Collection[str], path: str = "") -> Part:
    """What lies in `work` and its submodules; `named` are paths that travel in any case."""
    index, status = work.read_index(), work.status()
    inner, empty = [], []
    for number, submodule in enumerate(index.submodules):
        store = work.store / "modules" / str(number)
        below = {one.removeprefix(f"{submodule}/") for one in named if _is_in(one, submodule)}
        if opened := _open(work, submodule, store):
            place = f"{path}/{submodule}" if path else submodule
            inner.append(look(opened, below, place))
        else:
            empty.append(submodule)
    own = {one for one in named if not any(_is_in(one, sub) for sub in index.submodules)}
    added = _unseen(work.top, own, known={*index.tracked, *status.untracked})
    files = lfs.find(work, index, (*status.untracked, *added))
    return Part(path, work, index, status, tuple(added), tuple(inner), tuple(empty), files)


def _open(work: WorkTree, submodule: str, store: Path) -> WorkTree | None:
    """The work tree of `submodule`, or None if it is not checked out."""
    top = work.top / submodule
    # Asked in an empty folder, git answers with the repository above.
    if top.is_symlink() or not os.path.lexists(top / ".git"):
        return None
    opened = open_repository(top, store)
    if opened is None or opened.top != top:
        return None
    work.read_also(opened)
    return opened


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _unseen(top: Path, named: set[str], known: set[str]) -> list[str]:
    """The files `named`, or in folders named, that git would not send by itself."""
    files = {file for path in named for file in _files(top, path)}
    return sorted(files - known)


def _files(top: Path, path: str) -> Iterator[str]:
    """The file at `path`, or all the files below it, relative to `top`."""
    if (top / path).is_symlink() or not (top / path).is_dir():
        yield path
        return
    for folder, folders, files in os.walk(top / path):
        folders[:] = [name for name in folders if name != ".git"]
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        yield from (Path(folder, name).relative_to(top).as_posix() for name in files + links)


def base_tree(part: Part) -> str | None:
    """The tree of the last commit, with submodules and files in LFS as far as they are unchanged.

    None where there is no commit yet.
    """
    if not part.status.commit:
        return None
    if not part.inner and not part.lfs.there:
        return part.work.git("rev-parse", f"{part.status.commit}^{{tree}}").strip()
    work = part.work.with_index("base")
    work.git("read-tree", part.status.commit)
    for inner in part.inner:
        if tree := base_tree(inner):
            work.graft(inner.path.removeprefix(part.place("")), tree)
    changed = {*part.status.updated, *part.status.untracked, *part.added}
    lfs.put_contents(work, [path for path in part.lfs.there if path not in changed])
    return work.git("write-tree").strip()


def disk_tree(part: Part, base: str | None) -> str:
    """The tree of what is on the disk; `base` if nothing differs from it."""
    whole = not part.added and not part.status.differs and base is not None
    if whole and not part.inner and not part.lfs.there:
        assert base is not None
        return base
    part.work.add(part.status, part.added)
    for one in part.inner:
        tree = disk_tree(one, base_tree(one))
        part.work.graft(one.path.removeprefix(part.place("")), tree)
    lfs.put_contents(part.work, part.lfs.there)
    return part.work.git("write-tree").strip()


def changes(part: Part) -> dict[str, int]:
    """How many files differ from the last commits, by kind."""
    parts: Sequence[Part] = list(part.all())
    counts = {
        "staged": sum(one.status.staged for one in parts),
        "modified": sum(len(one.status.updated) for one in parts),
        "deleted": sum(len(one.status.deleted) for one in parts),
        "untracked": sum(len(one.status.untracked) + len(one.added) for one in parts),
    }
    return {kind: count for kind, count in counts.items() if count}
