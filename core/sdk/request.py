"""What is to be run, made into a task's spec: the same for the command line and for programs."""

from __future__ import annotations

import posixpath

from ..spec import Entry, Notebook, Script, argv_text

NAME_LENGTH = 60


def default_name(entry: Entry, params: dict[str, str]) -> str:
    """A name that tells the tasks of one script apart: `train.py --lr 0.1 seed=3`."""
    words = argv_text(entry)
    if isinstance(entry, Script):
        words = argv_text(Script(posixpath.basename(entry.path), entry.args))
    if isinstance(entry, Notebook):
        words = posixpath.basename(entry.path)
    words = " ".join([*words.split(), *(f"{name}={value}" for name, value in params.items())])
    return words if len(words) <= NAME_LENGTH else words[: NAME_LENGTH - 1] + "…"
