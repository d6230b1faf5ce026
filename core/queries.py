"""Queries that are known by a name: what they take, and how what somebody typed becomes a value.

There are evq's own, the reports of `projector/reports`, and those that users saved.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from .errors import UsageError
from .ids import check_name

Value = str | int | float | bool | None

ANY = "any"
"""The kind of a parameter that is taken as it is given, which only programs give."""


MOST_ROWS = 100_000
"""The largest `count`."""


class Parameter(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a query takes. It must be given if it is `required`, else `default` stands for it.

    `kind` is `text`, `number`, `amount` (a number from 0 on), `count` (a whole number from 1 to
    `MOST_ROWS`), or the words there are to choose from: `queue|user|project`.
    """

    name: str
    kind: str = "text"
    meaning: str = ""
    default: Any = None
    required: bool = False

    @property
    def choices(self) -> tuple[str, ...]:
        """The words to choose from; none if it is no such parameter."""
        return tuple(self.kind.split("|")) if "|" in self.kind else ()

    @property
    def usage(self) -> str:
        """How it is typed: `by=queue`, `[user=…]`, `name=…`."""
        shown = "…" if self.default is None else str(self.default)
        return f"{self.name}={shown}" if self.required else f"[{self.name}={shown}]"


class Query(msgspec.Struct, frozen=True, omit_defaults=True):
    """A query with a name. `chart` says how it is best drawn, in the words of `charts.parse_chart`.

    One that a user saved has an author, `by`, and the time of that, `at` in microseconds; evq's
    own have neither.
    """

    name: str
    text: str
    meaning: str = ""
    parameters: tuple[Parameter, ...] = ()
    chart: str = ""
    by: str = ""
    at: int = 0

    @property
    def is_listed(self) -> bool:
        """Whether people are told of it; what only evq's verbs ask has no meaning in words."""
        return bool(self.meaning or self.by)

    @property
    def usage(self) -> str:
        """How it is asked: its name and what it takes."""
        return " ".join([f"@{self.name}", *(one.usage for one in self.parameters)])


def query_name(text: str) -> str:
    """The name that `text` means: `-` and `_` are the same. Raises `UsageError`."""
    return check_name(text.strip().removeprefix("@").replace("_", "-"), "query")


def values_for(query: Query, given: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters of a query, as it takes them. Raises `UsageError` that says what it takes."""
    known = {one.name: one for one in query.parameters}
    unknown = [name for name in given if name not in known]
    missing = [one.name for one in query.parameters if one.required and given.get(one.name) is None]
    if unknown or missing:
        why = [f"it has no {name}" for name in unknown] + [f"{name} is missing" for name in missing]
        raise _cannot_be_asked(query, " and ".join(why))
    values: dict[str, Any] = {}
    for name, one in known.items():
        # Null is what a parameter is that nobody gave.
        value = given.get(name)
        values[name] = one.default if value is None else _value(query, one, value)
    return values


def _value(query: Query, parameter: Parameter, given: Any) -> Any:
    if choices := parameter.choices:
        if given in choices:
            return str(given)
        raise _cannot_be_asked(query, f"{parameter.name} is one of {', '.join(choices)}")
    match parameter.kind:
        case "any":
            return given
        case "number":
            return _number(query, parameter, given, -math.inf, "a number")
        case "amount":
            return _number(query, parameter, given, 0, "a number from 0 on")
        case "count":
            number = _number(
                query, parameter, given, 1, whole := f"a whole number up to {MOST_ROWS}"
            )
            if number != int(number) or number > MOST_ROWS:
                raise _cannot_be_asked(query, f"{parameter.name} is {whole}, not {given}")
            return int(number)
        case _:
            return str(given)


_MOST = 1e9
"""Larger numbers mean nothing here, and would run over in the database."""


def _number(query: Query, parameter: Parameter, given: Any, least: float, what: str) -> float | int:
    try:
        number = float(given)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not max(least, -_MOST) <= number <= _MOST:
        raise _cannot_be_asked(query, f"{parameter.name} is {what}, not {given}")
    return int(number) if number.is_integer() else number


def _cannot_be_asked(query: Query, why: str) -> UsageError:
    takes = " ".join(one.usage for one in query.parameters)
    return UsageError(
        f"@{query.name} cannot be asked like this",
        why=why,
        fix=f"@{query.name} takes {takes}" if takes else f"@{query.name} takes no parameters",
    )
