"""Reading what conda, mamba or micromamba said when it failed."""

from __future__ import annotations

import os
import re

from ...core.errors import EnvironmentFailed
from ..attempts.command import Completed
from .base import Recipe
from .pip_reason import explain_pip
from .reasons import failure, last_line, lines_of

_UNMET = re.compile(
    r"does not exist|not installable|can be installed|conflicts with|nothing provides"
    r"|excluded by strict|is requested"
)
_MISSING = re.compile(r"(?:ResolvePackageNotFound|PackagesNotFoundError)")
_LISTED = re.compile(r"^\s*-\s+(?P<text>\S.*)$")
_UNREACHABLE = re.compile(
    r"CondaHTTPError|CONNECTION FAILED|Could not (?:connect|resolve)|Download error|timed out"
    r"|failed to download|Multi-download failed"
)
_TREE = " │├└─┌╰╭"


def explain_conda(recipe: Recipe, program: str, completed: Completed) -> EnvironmentFailed:
    """The error for an environment that `program` failed to create."""
    lines = lines_of(completed)
    unmet = [line.strip(_TREE) for line in lines if _UNMET.search(line)]
    if any(map(_MISSING.search, lines)):
        unmet += [found["text"] for line in lines if (found := _LISTED.match(line))]
    if unmet:
        return failure(
            completed,
            f"the requirements of {recipe.source} cannot be met",
            why="; ".join(dict.fromkeys(unmet)),
        )
    if "Pip subprocess error" in completed.output or "pip failed" in completed.output.lower():
        return explain_pip(recipe, completed)
    if unreachable := [line.strip() for line in lines if _UNREACHABLE.search(line)]:
        return failure(completed, "the channel cannot be reached", why=unreachable[-1])
    return failure(
        completed,
        f"the environment of {recipe.source} cannot be built",
        why=last_line(os.path.basename(program), completed),
    )
