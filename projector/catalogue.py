"""evq's own questions: their SQL, and what stands at its head.

A question begins with its name and its parameters; one with a value, in JSON, may be left out:

    -- name: wait_percentiles(by="queue", days=7)

The lines of comments that follow make it a report, which people ask: what it answers, then what
its parameters mean (`-- by (queue|user): what a row stands for`), then how it is best drawn
(`-- chart: bar:name,p50`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources

import msgspec

from ..core.queries import ANY, Parameter, Query
from .curves import QUESTION

FILES = (
    *("queries.sql", "fleet.sql", "machines.sql", "live.sql", "retention.sql"),
    *("over_time.sql", "pages.sql", "services.sql", "pipelines.sql"),
)
"""What the verbs and the dashboard ask."""

REPORTS = tuple(
    f"reports/{subject}.sql"
    for subject in ("waiting", "setup", "failures", "gpus", "workers", "tasks")
)
"""What people ask of the whole history."""

_HEADING = re.compile(r"^-- name: (\w+)\((.*)\)$", re.MULTILINE)
_PARAMETER = re.compile(r"(\w+) \(([\w|]+)\): (.+)")
_CHART = "chart: "

_COMMON = {
    "days": ("amount", "how many days to look back"),
    "hours": ("amount", "how many hours to look back"),
    "limit": ("count", "how many rows at most"),
    "points": ("count", "how many moments"),
    "queue": ("text", "only this queue"),
    "user": ("text", "only what this user enqueued"),
    "project": ("text", "only this project"),
}
"""The kind and meaning of parameters that many reports have."""


@cache
def questions() -> Mapping[str, Query]:
    """All questions that evq knows, by the name in their files, which has `_` for `-`."""
    found = {QUESTION.name: QUESTION}
    for file in (*FILES, *REPORTS):
        found |= _read(file)
    return found


@cache
def reports() -> Mapping[str, Mapping[str, Query]]:
    """Those that people ask, by the file that they are in."""
    return {file: _read(file) for file in REPORTS}


def _read(file: str) -> dict[str, Query]:
    text = resources.files(__package__).joinpath(file).read_text("utf-8")
    _, *pieces = _HEADING.split(text)
    heads = zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True)
    return {name: _query(name, parameters, body) for name, parameters, body in heads}


def _query(name: str, parameters: str, body: str) -> Query:
    lines = body.strip("\n").splitlines()
    count = next(n for n, line in enumerate(lines) if not line.startswith("--"))
    head, sql = [line[3:] for line in lines[:count]], "\n".join(lines[count:])
    described = {m[1]: (m[2], m[3]) for line in head if (m := _PARAMETER.fullmatch(line))}
    charts = [line.removeprefix(_CHART) for line in head if line.startswith(_CHART)]
    words = [line for line in head if not _PARAMETER.fullmatch(line) and _CHART not in line]
    return Query(
        name.replace("_", "-"),
        sql.strip(),
        " ".join(words),
        tuple(_parameters(parameters, described, is_report=bool(head))),
        "".join(charts),
    )


def _parameters(
    text: str, described: Mapping[str, tuple[str, str]], *, is_report: bool
) -> Iterator[Parameter]:
    for word in text.split(", ") if text else ():
        name, has_default, value = word.partition("=")
        default = msgspec.json.decode(value) if has_default else None
        kind, meaning = described.get(name) or _COMMON[name] if is_report else (ANY, "")
        yield Parameter(name, kind, meaning, default, not has_default)
