"""Copies of agents' interpreters for containers, as a cache that can be kept small."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from ..containers.interpreter import FOLDER
from ..environments.locks import held_inodes, try_hold
from .base import Entry
from .weight import folders, weigh


class Interpreters:
    """What `agent/containers` copied. Their folders are locked, shared, while they are in use."""

    kind = "interpreters"

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER

    def entries(self) -> list[Entry]:
        held = held_inodes()
        return [
            Entry(
                kind=self.kind,
                name=copy.name,
                bytes=weigh(str(copy)).bytes,
                used=copy.stat().st_mtime,
                in_use=copy.stat().st_ino in held,
            )
            for copy in self._copies(whole=True)
        ]

    def remove(self, name: str) -> bool:
        copy = self._folder / name
        if (held := try_hold(copy, shared=False)) is None:
            return not copy.exists()
        with held:
            # Out of the way first: what is half removed is never used.
            trash = copy.rename(self._folder / f"{name}.{secrets.token_hex(4)}")
            shutil.rmtree(trash, ignore_errors=True)
        return True

    def sweep(self) -> None:
        for part in self._copies(whole=False):
            if held := try_hold(part, shared=False):
                with held:
                    shutil.rmtree(part, ignore_errors=True)
        for lock in self._folder.glob("*.lock"):
            if held := try_hold(lock, shared=False):
                with held:
                    if not lock.with_suffix("").exists():
                        lock.unlink()

    def _copies(self, whole: bool) -> list[Path]:
        found = map(Path, folders(str(self._folder)))
        return [folder for folder in found if ("." not in folder.name) == whole]
