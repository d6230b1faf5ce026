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
from pathlib import Path

import uv

from .base import Entry
from .weight import Weight, folders, weigh

REST = "(index and the rest)"
"""What belongs to no single package: small, and uv's own business."""

CLEAN_SECONDS = 120.0
"""uv waits for other uv processes; another time will do."""

OWN = "uv"
ARCHIVES = "archive-"
BUCKETS = ("wheels-", "sdists-")
"""uv numbers these folders: wheels-v8/pypi/NAME/VERSION is a link into archive-v0."""


class Packages:
    """Packages that uv keeps, in the folders beside the environments: `uv`, and `uv-LIBRARY` for
    containers whose C library is another."""

    kind = "packages"

    def __init__(self, folder: Path) -> None:
        self._folder = os.fspath(folder.absolute())

    def entries(self) -> list[Entry]:
        stores = (found for found in folders(self._folder, OWN) if _library(found) is not None)
        return [
            Entry(
                kind=self.kind,
                name=f"{_library(store)}{name}",
                bytes=weight.bytes,
                used=weight.used,
                in_use=weight.linked,
            )
            for store in stores
            for name, weight in _packages_in(store).items()
        ]

    def remove(self, name: str) -> bool:
        library, _, package = name.rpartition("/")
        store = f"{self._folder}/{OWN}{library and '-'}{library}"
        # uv alone knows how to do that beside other uv processes.
        argv = [os.fspath(uv.find_uv_bin()), "cache", "clean", "--quiet", "--", package]
        variables = {**os.environ, "UV_CACHE_DIR": store}
        try:
            done = subprocess.run(
                argv, env=variables, stdin=subprocess.DEVNULL, timeout=CLEAN_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def sweep(self) -> None:
        """uv leaves nothing that nobody will use."""


def _library(store: str) -> str | None:
    """What stands before the names of a store's packages; None if it is not one of uv's."""
    name = os.path.basename(store)
    if name == OWN:
        return ""
    return f"{name.removeprefix(OWN + '-')}/" if name.startswith(OWN + "-") else None


def _packages_in(store: str) -> dict[str, Weight]:
    archives = {
        folder: weigh(folder) for bucket in folders(store, ARCHIVES) for folder in folders(bucket)
    }
    packages: dict[str, Weight] = {}
    for name, folder in _package_folders(store):
        weight = packages.setdefault(name, Weight())
        weight.add(weigh(folder))
        for target in _links(folder):
            weight.add(archives.pop(target, Weight()))
    rest = Weight(linked=True)
    for weight in (*archives.values(), *map(weigh, _others(store))):
        rest.add(weight)
    return packages | ({REST: rest} if rest.bytes else {})


def _package_folders(store: str) -> Iterator[tuple[str, str]]:
    """(name, folder) of each package; one may be there from several indexes."""
    for bucket in (found for prefix in BUCKETS for found in folders(store, prefix)):
        indexes = [*folders(f"{bucket}/index"), f"{bucket}/pypi"]
        for folder in (found for index in indexes for found in folders(index)):
            yield os.path.basename(folder), folder


def _others(store: str) -> Iterator[str]:
    for folder in folders(store):
        if not os.path.basename(folder).startswith((ARCHIVES, *BUCKETS)):
            yield folder


def _links(folder: str) -> Iterator[str]:
    """What the links below `folder` point to."""
    for place, below, files in os.walk(folder):
        for name in (*below, *files):
            path = os.path.join(place, name)
            if os.path.islink(path):
                yield os.path.realpath(path)
