"""What pip, poetry, conda and apt have downloaded, as a cache that can be kept small.

Each of their folders is one entry: they are made of small files that mean something only to the
tool, and all of it can be had again.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

from .base import Entry
from .weight import folders, weigh

TOOLS = ("pip", "poetry", "conda")
IMAGES = "apt"
"""What apt downloads is kept by image, one folder below this one for each."""

QUIET_SECONDS = 900.0
"""A folder in which something changed lately belongs to a tool that may still be at work."""


class Downloads:
    """The folders of the tools beside the environments."""

    kind = "downloads"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def entries(self) -> list[Entry]:
        places = [str(self._folder / name) for name in TOOLS]
        places += folders(str(self._folder / IMAGES))
        found = []
        for place in filter(os.path.isdir, places):
            weight = weigh(place)
            entry = Entry(
                kind=self.kind,
                name=os.path.relpath(place, self._folder),
                bytes=weight.bytes,
                used=weight.used,
                in_use=weight.used > time.time() - QUIET_SECONDS,
            )
            found.append(entry)
        return [entry for entry in found if entry.bytes]

    def remove(self, name: str) -> bool:
        # Out of the way first, so that a tool that begins now finds nothing rather than a half.
        trash = Path(tempfile.mkdtemp(prefix=".old-", dir=self._folder))
        try:
            (self._folder / name).rename(trash / "downloads")
        except OSError:
            return not (self._folder / name).exists()
        finally:
            shutil.rmtree(trash, ignore_errors=True)
        return True

    def sweep(self) -> None:
        for trash in self._folder.glob(".old-*"):
            shutil.rmtree(trash, ignore_errors=True)
