"""The folders of failed attempts, kept for a while so that somebody can look into them.

    <state>/work/
        TASK-ATTEMPT/          the folder the attempt ran in
        TASK-ATTEMPT.json      its manifest: what `evq shell` needs to be in the same place

The manifest is written last and removed first: a folder without one is of no use to anybody and
goes when the agent starts. Whoever looks into a folder locks it, shared, and it stays meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import msgspec
from msgspec.structs import replace

from ...core.errors import EvqError
from ..environments.cache import disk_usage
from ..environments.locks import try_hold
from ..sources import workdir

MOST_FOLDERS = 20
MOST_BYTES = 20 * 2**30
"""What an agent keeps at most; the oldest go first."""

SWEEP_SECONDS = 30.0

log = logging.getLogger(__name__)


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A kept attempt: what ran, where and with which variables.

    `argv` is empty if it failed before its command was known. `left_out` are the names of
    variables that are secret, so that their values are not here. `environment` is the folder of
    its packages and `key` its name in the cache. `container` is how another container like its
    own is made, in words of `docker run` with the image last. `until` is in seconds since 1970,
    `bytes` what the folder takes on the disk.
    """

    task: str
    attempt: int
    agent: str
    argv: tuple[str, ...] = ()
    folder: str
    variables: dict[str, str]
    left_out: tuple[str, ...] = ()
    environment: str | None = None
    key: str | None = None
    container: tuple[str, ...] = ()
    until: float = 0.0
    bytes: int = 0


def manifest_of(folder: Path) -> Path:
    """Where the manifest of a kept folder lies."""
    return folder.with_name(f"{folder.name}.json")


def read_manifest(path: Path) -> Manifest | None:
    """The manifest at `path`, if it is there and whole."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError):
        return None


class Kept:
    """The work folders of one agent."""

    def __init__(self, work: Path, clock: Callable[[], float] = time.time) -> None:
        self._work = work
        self._clock = clock

    async def keep(self, tree: Path, folder: Path, manifest: Manifest, seconds: float) -> None:
        """Let what lies in `tree` stay in `folder` for a while; older ones may have to go.

        What cannot be kept, for want of room for example, is given up.
        """
        try:
            await asyncio.to_thread(self._keep, tree, folder, manifest, seconds)
        except OSError as error:
            log.warning("%s cannot be kept: %s", folder, error)
            await asyncio.to_thread(_discard, folder)

    def _keep(self, tree: Path, folder: Path, manifest: Manifest, seconds: float) -> None:
        if not tree.is_relative_to(folder):
            os.rename(tree, folder)
        until, size = self._clock() + seconds, disk_usage(folder)
        path = manifest_of(folder)
        partial = path.with_suffix(".part")
        # Variables may say more than everybody on this machine is meant to know.
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(msgspec.json.encode(replace(manifest, until=until, bytes=size)))
        os.replace(partial, path)
        self.sweep()

    async def run(self) -> None:
        """Sweep without end."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await asyncio.to_thread(self.sweep)

    def sweep(self, most_bytes: int = MOST_BYTES) -> None:
        """Remove what is due, and the oldest of what is more than an agent keeps."""
        kept = sorted(self._manifests(), key=lambda pair: pair[1].until, reverse=True)
        count, size = 0, 0
        for path, manifest in kept:
            count, size = count + 1, size + manifest.bytes
            due = manifest.until <= self._clock()
            if due or count > MOST_FOLDERS or size > most_bytes:
                self._remove(path)

    def clear(self) -> None:
        """Remove what a former process of this agent left and nobody wants; see `Kept`."""
        self.sweep()
        wanted = {path.with_suffix("").name for path, _ in self._manifests()}
        for entry in self._work.iterdir() if self._work.is_dir() else ():
            if entry.suffix == ".json" and entry.stem in wanted:
                continue
            if entry.name not in wanted:
                _discard(entry)

    def _manifests(self) -> list[tuple[Path, Manifest]]:
        read = ((path, read_manifest(path)) for path in self._work.glob("*.json"))
        return [(path, manifest) for path, manifest in read if manifest is not None]

    def _remove(self, path: Path) -> None:
        folder = path.with_suffix("")
        held = try_hold(folder, shared=False)
        if held is None and folder.exists():
            return  # somebody looks into it
        with held or nullcontext():
            path.unlink(missing_ok=True)
            _discard(folder)


def _discard(entry: Path) -> None:
    try:
        if entry.is_dir() and not entry.is_symlink():
            workdir.remove(entry)
        else:
            entry.unlink(missing_ok=True)
    except (EvqError, OSError) as error:
        # Files of a container's root, for example: they must not keep an agent from its work.
        log.warning("%s", error)
