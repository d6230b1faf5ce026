"""Answers of the projector as JSON."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from ....core.questions import Column
from ..source import Answer


class ColumnOf(BaseModel):
    """A column and its DuckDB type."""

    name: str
    type: str


class Rows(BaseModel):
    """Rows as objects, in the order of the columns."""

    seq: int = Field(description="The last event of the log that the rows know of.")
    behind: int = Field(description="How many more there were.")
    columns: list[ColumnOf]
    rows: list[dict[str, Any]]


def rows_of(answer: Answer) -> Rows:
    """An answer as it is sent."""
    return Rows(
        seq=answer.seq,
        behind=answer.behind,
        columns=[_column(column) for column in answer.columns],
        rows=answer.rows,
    )


def _column(column: Column) -> ColumnOf:
    return ColumnOf(name=column.name, type=column.type)
