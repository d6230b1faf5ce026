"""What a user is looking for in the list of tasks: as a condition, as SQL, as a command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

import msgspec

from .....core.filing.filed import names_archived

FACETS = {
    "state": "state",
    "queue": "queue",
    "user": "user",
    "worker": "agent",
    "project": "project",
    "tag": "tag",
    "cause": "cause",
    "array": "array_id",
}
"""By name, what the projector counts."""

PAGE = 50

_TEXT = "lower(concat_ws(' ', task, name, queue, \"user\", project, params))"

_CLAUSE = re.compile(r"[=<>('\"~]|\b(is|in|like|ilike|between|not|and|or)\b", re.IGNORECASE)
_NAMES = re.compile(
    r"'(?:[^']|'')*'"
    r"|\b(?P<kind>params|metrics?)\.(?:\"(?P<quoted>(?:[^\"]|\"\")+)\"|(?P<plain>\w+))"
    r"(?:\.(?P<which>last|min|max|first))?",
    re.IGNORECASE,
)
_NUMBER_FOLLOWS = re.compile(r"\s*(?:[=<>*/+-]|between\b|[<>]=|<>)+\s*[\d.-]", re.IGNORECASE)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A query of words or a condition, the chosen values of facets, a column to sort by (`-` before
    it: the largest first), the page from 1, columns beside the usual ones, and whether the archive
    is looked at."""

    query: str = ""
    facets: Mapping[str, tuple[str, ...]] = {}
    sort: str = "-enqueued"
    page: int = 1
    columns: tuple[str, ...] = ()
    archived: bool = False

    @property
    def is_clause(self) -> bool:
        """Whether the query is a condition: it has an operator, a quote or a parenthesis."""
        return bool(_CLAUSE.search(self.query))

    @property
    def words(self) -> str:
        """The words to be searched for."""
        return "" if self.is_clause else self.query

    def where(self, without: str = "") -> str:
        """All of it but the words as one condition; `without` leaves one facet out."""
        parts = [
            _facet(name, values)
            for name, values in self.facets.items()
            if values and name != without
        ]
        if self.is_clause:
            parts.append(f"({self.query})")
        if self.archived:
            parts.append("archived IS NOT NULL")
        elif not (self.is_clause and names_archived(self.query)):
            parts.append("archived IS NULL")
        return " AND ".join(parts)

    def sql(self) -> str:
        """A query that users may carry out themselves."""
        parts = [_plain_sql(self.where())] if self.where() else []
        parts += [f"contains({_TEXT}, {quoted(word)})" for word in self.words.lower().split()]
        where = f"\nWHERE {' AND '.join(parts)}" if parts else ""
        word = "DESC" if self.sort.startswith("-") else "ASC"
        column = _plain_sql(self.sort.removeprefix("-"))
        return f"SELECT * FROM tasks{where}\nORDER BY {column} {word} LIMIT {PAGE}"

    def command(self) -> str:
        """The same for a terminal."""
        simple = {"state", "queue"} >= {name for name, values in self.facets.items() if values}
        queues = self.facets.get("queue", ())
        if simple and not self.query and len(queues) <= 1 and self.sort == "-enqueued":
            states = [f"-s {state}" for state in self.facets.get("state", ())]
            archive = ["--archived"] if self.archived else []
            chosen = [*states, *(f"-q {shlex.quote(one)}" for one in queues), *archive]
            return " ".join(["evq ls", *chosen])
        return f"evq sql {shlex.quote(self.sql().replace(chr(10), ' '))}"


def _facet(name: str, values: tuple[str, ...]) -> str:
    among = ", ".join(quoted(value) for value in values)
    if name == "tag":
        return f"list_has_any(tags, [{among}])"
    return f'"{FACETS[name]}" IN ({among})'


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def _plain_sql(text: str) -> str:
    """A condition without the names that only the dashboard has."""

    def written(found: re.Match[str]) -> str:
        kind = found["kind"]
        if kind is None:
            return found[0]
        name = quoted((found["quoted"] or found["plain"]).replace('""', '"'))
        if kind.lower() == "params":
            sql = f"params->>{name}"
            number = _NUMBER_FOLLOWS.match(text, found.end())
            return f"try_cast({sql} AS DOUBLE)" if number else f"({sql})"
        column = (found["which"] or "last").lower().replace("last", "value")
        return (
            f"(SELECT {column} FROM metric_latest m WHERE m.task = tasks.task AND m.name = {name})"
        )

    return _NAMES.sub(written, text)
