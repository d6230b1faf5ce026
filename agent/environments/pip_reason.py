"""Reading what pip and venv said when they failed."""

from __future__ import annotations

import itertools
import re

from ...core.errors import EnvironmentFailed
from ..command import Completed
from .base import Recipe
from .reasons import failure, last_line, lines_of

_CONFLICT = "The conflict is caused by:"
_UNREACHABLE = re.compile(
    r"after connection broken by|Could not fetch URL|Connection refused|"
    r"Temporary failure in name resolution|Failed to establish a new connection|timed out|SSLError"
)
_REFUSED = re.compile(r"(?:40[13]) (?:Client )?Error|Credentials not correct")
_BUILD = re.compile(r"did not run successfully|Failed building|Failed to build|metadata-generation")
_ENSUREPIP = re.compile(r"ensurepip|No module named venv")


def explain_pip(recipe: Recipe, completed: Completed) -> EnvironmentFailed:
    """The error for a `pip install` that failed."""
    lines = lines_of(completed)
    errors = [
        line.removeprefix("ERROR: ")
        for line in lines
        if line.startswith("ERROR: ") and "ResolutionImpossible" not in line
    ]
    why = "; ".join(dict.fromkeys(errors)) or last_line("pip", completed)
    if refused := [line for line in lines if _REFUSED.search(line)]:
        return failure(
            completed,
            "the package index refuses the login",
            why=_plain(refused[-1]),
            fix="--index 'https://USER:${NAME}@HOST/simple', with the secret NAME",
        )
    if unreachable := [line for line in lines if _UNREACHABLE.search(line)]:
        return failure(
            completed, "the package index cannot be reached", why=_plain(unreachable[-1])
        )
    if shown := _build_output(lines):
        said = [line.strip(" ×╰─>") for line in lines if _BUILD.search(line)]
        return failure(
            completed,
            f"a package of {recipe.source} cannot be built",
            why="; ".join([*dict.fromkeys(said), *shown[-3:]]),
        )
    if conflict := _conflict(lines):
        return failure(
            completed,
            f"the requirements of {recipe.source} cannot be met",
            why="; ".join(conflict),
        )
    if "No matching distribution" in why or "requires a different Python" in why:
        return failure(completed, f"the requirements of {recipe.source} cannot be met", why=why)
    return failure(completed, f"the environment of {recipe.source} cannot be built", why=why)


def explain_venv(interpreter: str, completed: Completed) -> EnvironmentFailed:
    """The error for a `python -m venv` that failed."""
    if _ENSUREPIP.search(completed.output):
        return failure(
            completed,
            f"{interpreter} cannot make a virtual environment with pip in it",
            why="it comes without venv or ensurepip, as Debian's does",
            fix="apt install python3-venv where the agent runs, or --env uv",
        )
    return failure(
        completed,
        f"{interpreter} cannot make a virtual environment",
        why=last_line("venv", completed),
    )


def _plain(line: str) -> str:
    return line.removeprefix("WARNING: ").removeprefix("ERROR: ").strip()


def _conflict(lines: list[str]) -> list[str]:
    after = itertools.islice(
        itertools.dropwhile(lambda line: line.strip() != _CONFLICT, lines), 1, None
    )
    return [line.strip() for line in itertools.takewhile(lambda line: line.startswith(" "), after)]


def _build_output(lines: list[str]) -> list[str]:
    """What the build of a package wrote, as far as pip shows it."""
    ends = [number for number, line in enumerate(lines) if "[end of output]" in line]
    if not ends:
        return []
    starts = [n for n, line in enumerate(lines[: ends[-1]]) if "lines of output]" in line]
    shown = lines[starts[-1] + 1 if starts else 0 : ends[-1]]
    return [line.strip(" │") for line in shown]
