"""The environments of one machine: made once, found by key, the oldest removed first.

    <cache>/environments/
        KEY.json        the marker: which folder holds the environment, what is in it
        KEY.lock        held while one agent builds it
        KEY.RANDOM/     the environment; its folder is locked, shared, while it is in use

An environment is built where it stays, since what it holds knows its own path; it counts from
the moment its marker is there. A builder that is killed leaves a folder without a marker, and
perhaps a child that goes on writing into it: nobody ever uses that folder, and it is swept once
nobody holds it. Locks end with the processes that hold them, so nothing has to be repaired.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Collection
from pathlib import Path

import msgspec

from ...core.events import Package
from .locks import Hold, hold, try_hold


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """The marker of an environment that is complete. `bytes` is what it takes on the disk.

    The environment is in `prefix` of the folder, which is "." unless whoever made it wants to
    make its folder, too. `image` names the image that it was made in, and that has its
    interpreter.
    """

    folder: str
    prefix: str = "."
    python: str
    packages: tuple[Package, ...]
    bytes: int
    private: bool = False
    image: str = ""


class Pruned(msgspec.Struct, frozen=True):
    """What was removed: the keys, and how many bytes they took."""

    keys: tuple[str, ...]
    bytes: int


class Found(msgspec.Struct, frozen=True):
    """An environment in the cache: when it was used last, and the inode that its users lock."""

    key: str
    made: Made
    used: float
    inode: int


class Cache:
    """The folder of environments; several agents may use it at once, on a local disk."""

    def __init__(self, cache: Path) -> None:
        self.root = cache.absolute() / "environments"

    def use(self, key: str) -> tuple[Path, Made, Hold] | None:
        """The environment `key` if it is complete, held until the hold is released."""
        made = _read(self._marker(key))
        if made is None:
            return None
        folder = self.root / made.folder
        if (held := try_hold(folder, shared=True)) is None:
            return None
        # The interpreter is a link to outside the cache: it may have been uninstalled.
        python = folder / made.prefix / "bin" / "python"
        if not made.image and not python.exists():
            held.release()
            return None
        with contextlib.suppress(FileNotFoundError):
            os.utime(self._marker(key))  # for the order of `prune`
        return folder, made, held

    async def building(self, key: str) -> Hold:
        """Wait for the right to build `key`, which one builder on this machine has at a time."""
        self.root.mkdir(parents=True, exist_ok=True)
        return await hold(self.root / f"{key}.lock")

    def new_folder(self, key: str) -> tuple[Path, Hold]:
        """An empty folder to build `key` in, held so that nobody sweeps it."""
        folder = self.root / f"{key}.{secrets.token_hex(4)}"
        folder.mkdir(mode=0o755)
        held = try_hold(folder, shared=True)
        if held is None:  # a sweeper was faster than our lock; the next name is ours
            return self.new_folder(key)
        return folder, held

    def publish(self, key: str, made: Made) -> None:
        """Let the world know that `key` is complete; replaces what was there."""
        written = self.root / made.folder / "evq.json"
        written.write_bytes(msgspec.json.encode(made))
        written.replace(self._marker(key))

    def discard(self, folder: Path) -> None:
        """Remove a folder that is no environment, unless somebody holds it."""
        if (held := try_hold(folder, shared=False)) is None:
            return
        with held:
            # Asked under the lock: its builder may have published it since we saw it.
            if not self._is_current(folder):
                shutil.rmtree(folder, ignore_errors=True)

    def prune(self, max_bytes: int, in_use: Collection[str] = ()) -> Pruned:
        """Remove the least recently used until the rest takes at most `max_bytes`.

        What dead builders left, and what served one attempt only, goes first and in any case.
        Never one that is held, nor one whose key is `in_use`.
        """
        self.sweep()
        found = self.complete()
        excess = sum(one.made.bytes for one in found) - max_bytes
        keys, freed = list[str](), 0
        for one in found:
            if freed < excess and one.key not in in_use and self.remove(one.key):
                keys.append(one.key)
                freed += one.made.bytes
        return Pruned(tuple(keys), freed)

    def complete(self) -> list[Found]:
        """The complete environments, the least recently used first."""
        found = []
        for marker, made in self._markers():
            with contextlib.suppress(FileNotFoundError):  # others prune, too
                inode = (self.root / made.folder).stat().st_ino
                found.append(Found(marker.stem, made, marker.stat().st_mtime, inode))
        return sorted(found, key=lambda one: one.used)

    def remove(self, key: str) -> bool:
        """Remove an environment unless somebody holds it; whether it is gone."""
        made = _read(self._marker(key))
        gone = made is None or self._retire(self._marker(key), made)
        self._sweep_locks()
        return gone

    def sweep(self) -> None:
        """Remove what dead builders left, and what served one attempt only."""
        if not self.root.is_dir():
            return
        for folder in [path for path in self.root.iterdir() if path.is_dir()]:
            self.discard(folder)
        for marker, made in self._markers():
            if made.private or not (self.root / made.folder).exists():
                self._retire(marker, made)
        self._sweep_locks()

    def _sweep_locks(self) -> None:
        for lock in self.root.glob("*.lock"):
            with try_hold(lock, shared=False) or contextlib.nullcontext() as held:
                if held is not None and not lock.with_suffix(".json").exists():
                    lock.unlink()

    def _retire(self, marker: Path, made: Made) -> bool:
        folder = self.root / made.folder
        if (held := try_hold(folder, shared=False)) is None and folder.exists():
            return False
        with held or contextlib.nullcontext():
            marker.unlink(missing_ok=True)  # first, so that what is half removed is never used
            shutil.rmtree(folder, ignore_errors=True)
        return True

    def _is_current(self, folder: Path) -> bool:
        made = _read(self._marker(folder.name.rpartition(".")[0]))
        return made is not None and made.folder == folder.name

    def _markers(self) -> list[tuple[Path, Made]]:
        read = ((marker, _read(marker)) for marker in self.root.glob("*.json"))
        return [(marker, made) for marker, made in read if made is not None]

    def _marker(self, key: str) -> Path:
        return self.root / f"{key}.json"


def disk_usage(folder: Path) -> int:
    """The bytes that the files under `folder` take, shared ones included."""
    pending, total = [os.fspath(folder)], 0
    while pending:
        for entry in os.scandir(pending.pop()):
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
            else:
                total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total


def _read(marker: Path) -> Made | None:
    try:
        return msgspec.json.decode(marker.read_bytes(), type=Made)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
