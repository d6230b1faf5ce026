"""What one may ask a projector, and the parts of its answers.

A question goes to `evqsvc.named` or `evqsvc.sql` as JSON; `evqsvc.position` wants none, and its
answer is a head alone, which says how far the projector is. The first part of an answer is a
`Head`, each later one a list of rows, a row being a list of values in the head's order, or a piece
of the Parquet file that was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from .past import Moment

CATALOGUE = "catalogue"
"""The question for the queries that people can ask by name: one column, a `Query` in JSON."""


class Named(msgspec.Struct, frozen=True):
    """A question that the projector knows by name, with its parameters.

    Who has just written something wants a `fresh` answer, which waits until all that the streams
    hold is in the database. Who follows the log from the answer's sequence on needs none.

    With a `moment` it is answered as it would have been then. With `parquet` the rows come as the
    bytes of one Parquet file.
    """

    name: str
    params: dict[str, Any] = {}
    fresh: bool = True
    moment: Moment | None = None
    parquet: bool = False


class Sql(msgspec.Struct, frozen=True):
    """A query of the user's own; it is read-only and bounded in time (seconds) and rows.

    `params` are the values of `$NAME` in it. With `only_names` it is not carried out: the answer
    is the names of the parameters that it wants, one a row, if it can be read at all. With a
    `moment` it finds in all views what they had then. With `parquet` the rows come as the bytes of
    one Parquet file; then it is the size of that file that is bounded, and not their number.
    """

    text: str
    timeout: float = 30.0
    rows: int = 100_000
    params: dict[str, Any] = {}
    only_names: bool = False
    moment: Moment | None = None
    parquet: bool = False


def question_of(text: str, params: Mapping[str, Any], timeout: float = 30.0) -> Named | Sql:
    """What `text` asks: a query by its name if it begins with `@`, else one in SQL."""
    if text.startswith("@"):
        return Named(text[1:], dict(params))
    return Sql(text, timeout, params=dict(params))


class Column(msgspec.Struct, frozen=True):
    """A column of an answer and its DuckDB type."""

    name: str
    type: str


class Head(msgspec.Struct, frozen=True):
    """What is to come, and how fresh it is.

    `seq` is the last lifecycle event that the answer knows of; `behind` how many more there were.
    """

    columns: tuple[Column, ...]
    seq: int
    behind: int = 0
