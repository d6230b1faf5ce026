"""What evq prints: facts on stdout, notes on stderr, JSON when asked, tables that fit.

Without a terminal nothing is cut, coloured or decorated: the reader is a program.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TextIO

import click
import msgspec

from ..core.words.phrases import count_of as count_of
from .options import THIS_RUN

GAP = "  "
LEAST = 5
"""Columns that a soft column keeps on a narrow terminal."""


def say(text: str = "") -> None:
    """Print a fact to stdout."""
    click.echo(text)


def note(text: str = "") -> None:
    """Print a note for people to stderr."""
    click.echo(text, err=True)


def warn(what: str, *hints: str) -> None:
    """Print a warning, and what to do, to stderr."""
    note(f"{click.style('warning:', fg='yellow', bold=True)} {what}")
    for hint in hints:
        note(f"  {hint}")


def say_json(value: Any) -> None:
    """Print one JSON value on a line of its own."""
    click.echo(msgspec.json.encode(value).decode())


def dim(text: str) -> str:
    """Less important text."""
    return click.style(text, dim=True)


def bold(text: str) -> str:
    """More important text."""
    return click.style(text, bold=True)


def stdout_dim() -> Callable[[str], str]:
    """`dim` if stdout takes colours, for what is printed without Click, line by line."""
    colors = sys.stdout.isatty() if THIS_RUN.colors is None else THIS_RUN.colors
    return dim if colors else str


def fitting(text: str, file: TextIO) -> str:
    """Styled `text`, its colours left out if `file` takes none."""
    colors = file.isatty() if THIS_RUN.colors is None else THIS_RUN.colors
    return text if colors else click.unstyle(text)


def on_terminal() -> bool:
    """Whether a person reads stdout."""
    return sys.stdout.isatty()


def terminal_width() -> int:
    """Columns of the terminal."""
    return shutil.get_terminal_size((80, 24)).columns


def can_print(text: str) -> bool:
    """Whether stdout can show these characters."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return False
    return True


class Column(msgspec.Struct, frozen=True):
    """A column of a table. `style` colours a cell by its text; a `soft` one gives way first."""

    title: str
    right: bool = False
    soft: bool = False
    style: Callable[[str], str] | None = None


def say_table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[object]],
    widths: list[int] | None = None,
) -> list[int]:
    """Print rows in columns; on a terminal no line is longer than the terminal is wide.

    Returns the columns' widths: given to the next call, its rows go on below, without a head.
    """
    cells = [[_one_line(value) for value in row] for row in rows]
    lines: list[str] = []
    if widths is None:
        widths = _widths(columns, cells)
        plain = [Column(column.title, column.right, style=dim) for column in columns]
        lines.append(_line(plain, [column.title for column in columns], widths))
    lines += [_line(columns, row, widths) for row in cells]
    click.echo("\n".join(lines))
    return widths


def say_known(columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> None:
    """Print rows without the columns in which nothing is known of any of them."""
    kept = [n for n in range(len(columns)) if any(row[n] not in ("", None) for row in rows)]
    say_table([columns[n] for n in kept], [[row[n] for n in kept] for row in rows])


def _widths(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> list[int]:
    widths = [
        max([width(column.title), *(width(row[number]) for row in cells)])
        for number, column in enumerate(columns)
    ]
    if not on_terminal():
        return widths
    return fit(widths, [column.soft for column in columns], terminal_width())


def fit(widths: Sequence[int], soft: Sequence[bool], limit: int) -> list[int]:
    """`widths` made smaller, the widest soft column first, until a line has at most `limit`."""
    fitted = list(widths)
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - limit
    while excess > 0:
        yielding = [n for n, gives in enumerate(soft) if gives and fitted[n] > LEAST]
        if not yielding:
            break
        widest = max(yielding, key=lambda n: fitted[n])
        fitted[widest] -= 1
        excess -= 1
    return fitted


def _line(columns: Sequence[Column], cells: Sequence[str], widths: Sequence[int]) -> str:
    shown = []
    for column, cell, space in zip(columns, cells, widths, strict=True):
        text = cut(cell, space) if on_terminal() else cell
        padding = " " * (space - width(text))
        styled = column.style(text) if column.style else text
        shown.append(padding + styled if column.right else styled + padding)
    return GAP.join(shown).rstrip()


def _one_line(value: object) -> str:
    return "" if value is None else " ".join(str(value).split())


def width(text: str) -> int:
    """Columns that `text` takes on a terminal."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, space: int) -> str:
    """`text`, its end replaced by an ellipsis if it needs more than `space` columns."""
    if width(text) <= space:
        return text
    kept = text
    while kept and width(kept) > space - 1:
        kept = kept[:-1]
    return kept + "…"
