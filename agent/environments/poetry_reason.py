"""Reading what poetry said when it failed."""

from __future__ import annotations

import re

from ...core.errors import EnvironmentFailed
from ..attempts.command import Completed
from .base import Recipe
from .reasons import failure, last_line, lines_of

_STALE = re.compile(r"changed significantly since|poetry\.lock is not up to date")
_PYTHON = re.compile(r"Current Python version|activated Python version")
_UNREACHABLE = re.compile(
    r"All attempts to connect|ConnectionError|Max retries|HTTPConnection|timed out"
)
_REFUSED = re.compile(r"40[13] (?:Client Error|Unauthorized|Forbidden)|Authorization error")
_BUILD = re.compile(r"Backend subprocess exited|BuildError|Note: This error originates")
_UNMET = re.compile(
    r"^\s*(?:Because|And because|So, because|and) |match any versions|solving failed"
    r"|Package .* not found|Unable to find installation candidates"
)
_CHECKSUM = re.compile(r"did not match any known checksums")
_STEP = re.compile(r"^\s*(?:[-•] \w+ing|Installing|Resolving|Updating|Creating|at \S+\.py:\d+)")


def explain_poetry(recipe: Recipe, completed: Completed) -> EnvironmentFailed:
    """The error for a `poetry install` that failed."""
    lines = lines_of(completed)
    text = completed.output

    def those(pattern: re.Pattern[str]) -> str:
        return "; ".join(dict.fromkeys(line.strip() for line in lines if pattern.search(line)))

    if _STALE.search(text):
        return failure(
            completed,
            f"{recipe.source} is out of date",
            why="what is required has changed since it was locked",
            fix="poetry lock",
        )
    if _PYTHON.search(text):
        return failure(
            completed,
            f"{recipe.source} does not allow the Python of its environment",
            why=those(_PYTHON),
            fix="--python VERSION",
        )
    if _REFUSED.search(text):
        return failure(
            completed,
            "the package index refuses the login",
            why=those(_REFUSED),
            fix="POETRY_HTTP_BASIC_NAME_USERNAME and …_PASSWORD where the agent runs",
        )
    if _UNREACHABLE.search(text):
        return failure(completed, "the package index cannot be reached", why=those(_UNREACHABLE))
    if _CHECKSUM.search(text):
        return failure(
            completed,
            f"what the package index gives is not what {recipe.source} names",
            why=those(_CHECKSUM).replace("| ", ""),
            fix="poetry lock --no-cache --regenerate",
        )
    if _BUILD.search(text):
        return failure(
            completed,
            f"a package of {recipe.source} cannot be built",
            why="; ".join(line.strip() for line in lines if not _STEP.match(line))[-1000:],
        )
    if _UNMET.search(text):
        return failure(
            completed, f"the requirements of {recipe.source} cannot be met", why=those(_UNMET)
        )
    return failure(
        completed,
        f"the environment of {recipe.source} cannot be built",
        why=last_line("poetry", completed),
    )
