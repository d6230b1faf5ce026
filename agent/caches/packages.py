"""uv's own cache, package by package, as a cache that can be kept small.

uv links the files of a package into environments. So a package whose files have other links is
in use by an environment, takes nothing of its own, and becomes an entry that can go when the last
of those environments has gone. That also changes the times of the files' inodes, which thus tell
when the package was used last.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import uv

from .base import Entry

REST = "(index and the rest)"
"""What belongs to no single package: small, and uv's own business."""

CLEAN_SECONDS = 120.0
"""uv waits for other uv processes; another time will do."""

ARCHIVES = "archive-"
BUCKETS = ("wheels-", "sdists-")
"""uv numbers these folders: wheels-v8/pypi/NAME/VERSION is a link into archive-v0."""


class Weight(msgspec.Struct):
    """What a folder takes: the bytes of files that have no other link, whether any has, and when
    a file's inode changed last."""

    bytes: int = 0
    linked: bool = False
    used: float = 0.0

    def add(self, other: Weight) -> None:
        self.bytes += other.bytes
        self.linked |= other.linked
        self.used = max(self.used, other.used)


class Packages:
    """Packages that uv keeps, in the folder beside the environments."""

    kind = "packages"

    def __init__(self, folder: Path) -> None:
        self._folder = os.fspath(folder.absolute() / "uv")

    def entries(self) -> list[Entry]:
        archives = {folder: _weigh(folder) for folder in self._archives()}
        packages: dict[str, Weight] = {}
        for name, folder in self._packages():
            weight = packages.setdefault(name, Weight())
            weight.add(_weigh(folder))
            for target in _links(folder):
                weight.add(archives.pop(target, Weight()))
        rest = Weight(linked=True)
        for weight in (*archives.values(), *map(_weigh, self._others())):
            rest.add(weight)
        if rest.bytes:
            packages[REST] = rest
        return [
            Entry(
                kind=self.kind, name=name, bytes=found.bytes, used=found.used, in_use=found.linked
            )
            for name, found in packages.items()
        ]

    def _archives(self) -> Iterator[str]:
        for bucket in _folders(self._folder, ARCHIVES):
            yield from _folders(bucket)

    def _packages(self) -> Iterator[tuple[str, str]]:
        """(name, folder) of each package; one may be there from several indexes."""
        for bucket in (found for prefix in BUCKETS for found in _folders(self._folder, prefix)):
            indexes = [*_folders(f"{bucket}/index"), f"{bucket}/pypi"]
            for folder in (found for index in indexes for found in _folders(index)):
                yield os.path.basename(folder), folder

    def _others(self) -> Iterator[str]:
        for folder in _folders(self._folder):
            if not os.path.basename(folder).startswith((ARCHIVES, *BUCKETS)):
                yield folder

    def remove(self, name: str) -> bool:
        # uv alone knows how to do that beside other uv processes.
        argv = [os.fspath(uv.find_uv_bin()), "cache", "clean", "--quiet", "--", name]
        variables = {**os.environ, "UV_CACHE_DIR": self._folder}
        try:
            done = subprocess.run(
                argv, env=variables, stdin=subprocess.DEVNULL, timeout=CLEAN_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def sweep(self) -> None:
        """uv leaves nothing that nobody will use."""


def _folders(folder: str, prefix: str = "") -> list[str]:
    """The folders in `folder` whose names begin so; none if it is not there."""
    try:
        with os.scandir(folder) as entries:
            return [
                entry.path
                for entry in entries
                if entry.name.startswith(prefix) and entry.is_dir(follow_symlinks=False)
            ]
    except OSError:
        return []


def _links(folder: str) -> Iterator[str]:
    """What the links below `folder` point to."""
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(place, name)
            if os.path.islink(path):
                yield os.path.realpath(path)


def _weigh(folder: str) -> Weight:
    found = Weight()
    for place, _, files in os.walk(folder):
        for name in files:
            with suppress(FileNotFoundError):
                status = os.lstat(os.path.join(place, name))
                found.used = max(found.used, status.st_ctime)
                if status.st_nlink > 1:
                    found.linked = True
                else:
                    found.bytes += status.st_blocks * 512
    return found
