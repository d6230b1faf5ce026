"""Reading what pip and venv said when they failed."""

from __future__ import annotations

import itertools
import re

from ...core.errors import EnvironmentFailed
from ..attempts.command import Completed
from .base import Recipe
from .reasons import failure, last_line, lines_of

_CONFLICT = "The conflict is caused by:"
_SKIPPED = re.compile(r"Could not fetch URL (?P<text>.*)")
_REFUSED = re.compile(r": 40[13] ")
_UNREACHABLE = re.compile(r"connection error|SSL|timed out|: 5\d\d ")
_EMPTY = re.compile(r"ResolutionImpossible|No matching distribution found")
"""What says nothing that another line does not say better."""

_BUILD = re.compile(r"did not run successfully|Failed building|Failed to build|metadata-generation")


def explain_pip(recipe: Recipe, completed: Completed, log: str = "") -> EnvironmentFailed:
    """The error for a `pip install` that failed; `log` is what pip wrote with `--log`."""
    lines = lines_of(completed)
    errors = [
        line.removeprefix("ERROR: ")
        for line in lines
        if line.startswith("ERROR: ") and not _EMPTY.search(line)
    ]
    why = "; ".join(dict.fromkeys(errors)) or last_line("pip", completed)
    unmet = f"the requirements of {recipe.source} cannot be met"
    if shown := _build_output(lines):
        said = [line.strip(" ×╰─>") for line in lines if _BUILD.search(line)]
        return failure(
            completed,
            f"a package of {recipe.source} cannot be built",
            why="; ".join([*dict.fromkeys(said), *shown[-3:]]),
        )
    if conflict := _conflict(lines):
        return failure(completed, unmet, why="; ".join(conflict))
    if "Could not find a version" in why or "requires a different Python" in why:
        # On the terminal, pip does not tell an index that is away from one that lacks a package.
        return _explain_index(completed, log) or failure(completed, unmet, why=why)
    return failure(completed, f"the environment of {recipe.source} cannot be built", why=why)


def _explain_index(completed: Completed, log: str) -> EnvironmentFailed | None:
    skipped = [found["text"] for found in _SKIPPED.finditer(log)]
    if refused := [text for text in skipped if _REFUSED.search(text)]:
        return failure(
            completed,
            "the package index refuses the login",
            why=refused[0],
            fix="--index 'https://USER:${NAME}@HOST/simple', with the secret NAME",
        )
    if away := [text for text in skipped if _UNREACHABLE.search(text)]:
        return failure(completed, "the package index cannot be reached", why=away[0])
    return None


def lacks_ensurepip(completed: Completed) -> bool:
    """Whether a `python -m venv` failed because its Python cannot make a pip."""
    return "ensurepip" in completed.output


def explain_venv(interpreter: str, completed: Completed) -> EnvironmentFailed:
    """The error for a virtual environment that could not be made with pip in it."""
    return failure(
        completed,
        f"{interpreter} cannot make a virtual environment with pip in it",
        why=last_line("venv", completed),
        fix="apt install python3-venv where the agent runs, or --env uv",
    )


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
