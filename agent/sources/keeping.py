"""Where mirrors lie, which there are, and how they are removed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ..environments.cache import disk_usage
from ..environments.locks import try_hold

ADDRESS = "address"
"""The file of a mirror that says, for people, what it mirrors."""

_ABANDONED_S = 24 * 3600


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A mirror: its `bytes` on disk, and when it was `used`, in seconds since 1970.

    Whoever fetches into it holds a lock on the file with `lock_inode` (0 if there is none).
    """

    address: str
    bytes: int
    used: float
    lock_inode: int


def place(cache: Path, address: str) -> Path:
    """The folder of the mirror of `address`."""
    return cache / "mirrors" / hashlib.sha256(address.encode()).hexdigest()[:32]


def lock_of(folder: Path) -> Path:
    """The file that is locked to fetch into the mirror at `folder`, beside it: it stays."""
    return folder.with_suffix(".lock")


def kept(cache: Path) -> list[Kept]:
    """The mirrors in `cache`."""
    return list(_kept(cache / "mirrors"))


def _kept(mirrors: Path) -> Iterator[Kept]:
    for marker in mirrors.glob(f"[!.]*/{ADDRESS}"):
        folder = marker.parent
        with contextlib.suppress(FileNotFoundError):  # others prune, too
            lock = lock_of(folder)
            yield Kept(
                address=marker.read_text().strip(),
                bytes=disk_usage(folder),
                used=folder.stat().st_mtime,
                lock_inode=lock.stat().st_ino if lock.exists() else 0,
            )


def drop(cache: Path, address: str) -> bool:
    """Remove a mirror unless somebody fetches into it; whether it is gone.

    Work trees made from it have links of their own, and stay whole.
    """
    folder = place(cache, address)
    if not folder.exists():
        return True
    held = try_hold(lock_of(folder), shared=False, create=True)
    if held is None:
        return False
    with held:
        discard(folder)
    return True


def sweep(cache: Path) -> None:
    """Remove what killed agents left half made or half removed, after a day."""
    for folder in (cache / "mirrors").glob(".*"):
        with contextlib.suppress(FileNotFoundError):
            if folder.stat().st_mtime < time.time() - _ABANDONED_S:
                shutil.rmtree(folder, ignore_errors=True)


def discard(folder: Path) -> None:
    """Remove a mirror as it came: whole, by one rename."""
    trash = Path(tempfile.mkdtemp(prefix=".old-", dir=folder.parent))
    with contextlib.suppress(FileNotFoundError):
        os.rename(folder, trash / folder.name)
    shutil.rmtree(trash, ignore_errors=True)
