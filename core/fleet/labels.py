"""Labels: what a machine is said to be, and what a task needs it to be, as NAME=VALUE."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..errors import UsageError

LONGEST_LABELS = 96
"""Characters of a request's labels together: a consumer's name has 255, and no more."""

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]*\Z")


def check_labels(labels: Mapping[str, str], option: str) -> None:
    """Raise `UsageError` for labels that could not stand in a class."""
    for name, value in labels.items():
        if not _WORD.match(name) or not _WORD.match(value):
            raise UsageError(
                f"{option} {name}={value} is not a label",
                why="both sides are made of A-Z a-z 0-9 . _ / + - and begin with a letter or digit",
                fix=f"{option} gpu=a100",
            )
    if sum(len(name) + len(value) + 2 for name, value in labels.items()) > LONGEST_LABELS:
        raise UsageError(
            f"the labels of {option} are too long",
            why=f"together they may have {LONGEST_LABELS} characters",
            fix="use shorter labels",
        )
