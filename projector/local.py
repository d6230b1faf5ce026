"""One question to an export, answered on this machine without a server: `python -m
evq.projector.local EDITION named|sql`.

The process reads the question as JSON and keeps the rules of `sandbox`: an export may come from
anywhere. It prints a line of JSON for each list of rows, and a `Word` before and behind them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress

import msgspec

from ..core.errors import EvqError, NotFound, UsageError
from ..core.history import Refusal, Word
from ..core.queries import Query, query_name, values_for
from ..core.questions import Column, Head, Named, Sql
from . import saved
from .answers import MADE, own, parameters_for
from .sandbox import FILE, HEAD, ROWS, Order, carry_out, renounce, unexpected

NAMED_SECONDS = 600.0
_MEMORY = 4 * 2**30

_columns = msgspec.json.Decoder(tuple[Column, ...])


def main(arguments: Sequence[str]) -> None:
    """Answer, and end."""
    edition, kind = arguments
    renounce()
    data = sys.stdin.buffer.read()
    with suppress(BrokenPipeError):
        try:
            for line in _lines(_order(edition, _sql(edition, kind, data))):
                _print(line)
            _print(msgspec.json.encode(Word()))
        except EvqError as error:
            _print(_refusal(error))
        except BrokenPipeError:
            pass
        except Exception as error:
            _print(_refusal(unexpected(error)))
    # Not the usual end: it would wait for DuckDB's threads.
    os._exit(0)


def _print(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


def _refusal(error: EvqError) -> bytes:
    refusal = Refusal(type(error).__name__, error.what, error.why, error.fix)
    return msgspec.json.encode(Word(refusal=refusal))


def _order(edition: str, question: Sql) -> Order:
    limits = (question.timeout, question.rows, _MEMORY, os.cpu_count() or 1)
    return Order(
        edition,
        question.text,
        *limits,
        question.params,
        question.only_names,
        parquet=question.parquet,
    )


def _sql(edition: str, kind: str, data: bytes) -> Sql:
    """The question as SQL; one by name is evq's own, or one that was saved before the export."""
    if kind == "sql":
        return msgspec.json.decode(data, type=Sql)
    question = msgspec.json.decode(data, type=Named)
    if question.name in MADE:
        raise UsageError(
            f"@{question.name} cannot be asked of an export",
            why="a projector makes it of several queries, for a screen",
            fix='evq sql --local DIR "from metrics"',
        )
    if own(question.name):
        text, params = parameters_for(question)
    else:
        query = _saved(edition, query_name(question.name))
        text, params = query.text, values_for(query, question.params)
    return Sql(text, NAMED_SECONDS, params=params, parquet=question.parquet)


def _saved(edition: str, name: str) -> Query:
    answer = carry_out(_order(edition, Sql(saved.READ)))
    rows = [row for kind, data in answer if kind == ROWS for row in msgspec.json.decode(data)]
    for query in saved.read(rows):
        if query.name == name:
            return query
    raise NotFound(f"there is no query @{name}", fix="evq sql --list")


def _lines(order: Order) -> Iterator[bytes]:
    for kind, data in carry_out(order):
        if kind == HEAD:
            data = msgspec.json.encode(Word(Head(_columns.decode(data), 0)))
        elif kind == FILE:
            data = msgspec.json.encode(Word(file=data))
        yield data


if __name__ == "__main__":
    main(sys.argv[1:])
