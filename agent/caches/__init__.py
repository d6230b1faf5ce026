"""What an agent keeps on its disk to be faster, and how it is kept small.

`caches_of` says which caches there are, `base` what each of them offers and which entries go
first, `report` is the process that does it for `evq cache` and for an agent's caretaker.
"""

from __future__ import annotations

from pathlib import Path

from .artifacts import Artifacts
from .base import Choose, Entry, PrunableCache, prune, surplus, unused
from .code import Commits
from .downloads import Downloads
from .environments import Environments
from .images import PreparedImages
from .interpreters import Interpreters
from .mirrors import Mirrors
from .packages import Packages

__all__ = ["Choose", "Entry", "PrunableCache", "caches_of", "prune", "surplus", "unused"]


def caches_of(folder: Path) -> tuple[PrunableCache, ...]:
    """The caches in an agent's cache folder: whoever adds a cache adds a line here."""
    return (
        Environments(folder),
        Commits(folder),
        Mirrors(folder),
        Packages(folder),
        PreparedImages(folder),
        Interpreters(folder),
        Downloads(folder),
        Artifacts(folder),
    )
