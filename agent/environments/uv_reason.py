"""Reading what uv said when it failed, as an error that a person can act on."""

from __future__ import annotations

import re

from ...core.errors import EnvironmentFailed
from ..attempts.command import Completed
from .base import Recipe
from .reasons import failure, last_line

_SAID = re.compile(r"^\s*(?:error:|×|cause:|Caused by:|[├╰]─▶|│)\s*(?P<text>.*\S)")
_HINT = re.compile(r"^\s*(?:hint|help):\s*(?P<text>.*\S)")
_START = re.compile(r"^(?:error:|\s*×)")
_STDERR = re.compile(r"^\s*\[std(?:err|out)\]")

_BUILD = re.compile(r"Failed to build|build backend")
_UNREACHABLE = re.compile(
    r"error sending request|client error|dns error|tcp connect|timed out|Network connectivity"
    r"|network was disabled|offline mode|Failed to fetch|Request failed|HTTP status"
)


def explain_uv(recipe: Recipe, completed: Completed, *, step: str) -> EnvironmentFailed:
    """The error for a uv command that failed; `step` is "python" or "packages"."""
    said, hints, shown = _parts(completed.output)
    why = "; ".join([*said, *hints]) or last_line("uv", completed)
    if step == "python":
        return failure(
            completed,
            f"Python {recipe.python} cannot be had on this machine",
            why=why,
            fix=f"uv python install '{recipe.python}'",
        )
    if "`--locked`" in why or "Unable to find lockfile" in why:
        script = recipe.kind == "script-lock"
        return failure(
            completed,
            f"{recipe.source} is out of date",
            why="what is required has changed since it was locked",
            fix=f"uv lock --script {recipe.files[0]}" if script else "uv lock",
        )
    if any(_BUILD.search(line) for line in said):
        return failure(
            completed,
            f"a package of {recipe.source} cannot be built",
            why="; ".join([*said, *shown[-3:]]),
        )
    if _UNREACHABLE.search(why):
        return failure(completed, "the package index cannot be reached", why=why)
    if "No solution found" in why:
        causes = [line for line in (*said, *hints) if "No solution found" not in line]
        return failure(
            completed, f"the requirements of {recipe.source} cannot be met", why="; ".join(causes)
        )
    return failure(completed, f"the environment of {recipe.source} cannot be built", why=why)


def _parts(output: str) -> tuple[list[str], list[str], list[str]]:
    """What the last error of `output` says and causes, its hints, and the output it shows."""
    lines = output.splitlines()
    starts = [number for number, line in enumerate(lines) if _START.match(line)]
    said, hints, shown = list[str](), list[str](), list[str]()
    quoting = False
    for line in lines[starts[-1] :] if starts else []:
        if (hint := _HINT.match(line)) is not None:
            hints.append(hint["text"])
            quoting = False
        elif _STDERR.match(line):
            quoting = True
        elif quoting:
            shown += filter(None, [line.strip()])
        elif (match := _SAID.match(line)) is not None:
            said.append(match["text"])
        elif said and line.strip():  # a message that goes on in the next line
            said[-1] += " " + line.strip()
    return said, hints, shown
