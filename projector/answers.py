"""Questions and answers: named ones from files, and SQL of the user's own in a cell."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from functools import cache
from importlib import resources
from typing import Any

import msgspec

from ..core.errors import QueryFailed, UsageError
from ..core.questions import Column, Head, Named, Sql
from .cells import Cells, ask
from .follow import Follower
from .snapshots import Snapshots
from .store import Answer, Database, Failed, Unfit
from .values import parts

FILES = ("queries.sql", "machines.sql", "reports.sql", "retention.sql")
"""What the verbs ask, and what people ask."""

_HEADING = re.compile(r"^-- name: (\w+)\((.*)\)$", re.MULTILINE)

_named = msgspec.json.Decoder(Named)
_sql = msgspec.json.Decoder(Sql)


class Query(msgspec.Struct, frozen=True):
    """A named question: its SQL, the parameters it must have, and those it may have."""

    sql: str
    required: tuple[str, ...]
    optional: dict[str, Any]


@cache
def queries() -> Mapping[str, Query]:
    """All named questions, from `FILES`."""
    found: dict[str, Query] = {}
    for file in FILES:
        text = resources.files(__package__).joinpath(file).read_text("utf-8")
        _, *pieces = _HEADING.split(text)
        for name, parameters, sql in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True):
            found[name] = _query(parameters, sql)
    return found


def _query(parameters: str, sql: str) -> Query:
    pairs = [word.strip().partition("=") for word in parameters.split(",") if word]
    return Query(
        sql.strip(),
        tuple(name for name, equals, _ in pairs if not equals),
        {name: msgspec.json.decode(value) for name, equals, value in pairs if equals},
    )


def parameters_for(question: Named) -> tuple[str, dict[str, Any]]:
    """The SQL of a question and all its parameters. Raises `UsageError`."""
    query = queries().get(question.name.replace("-", "_"))
    if query is None:
        raise UsageError(
            f"there is no question {question.name!r}", why="there are " + ", ".join(queries())
        )
    given = question.params
    missing = [name for name in query.required if given.get(name) is None]
    unknown = [name for name in given if name not in query.required and name not in query.optional]
    if missing or unknown:
        names = ", ".join((*query.required, *query.optional)) or "no parameters"
        raise UsageError(
            f"{question.name} cannot be asked like this",
            why=" and ".join(
                [f"{name} is missing" for name in missing]
                + [f"it has no {name}" for name in unknown]
            ),
            fix=f"{question.name} takes {names}",
        )
    return query.sql, query.optional | given


class Answers:
    """What the projector serves on the bus."""

    def __init__(self, follower: Follower, snapshots: Snapshots, cells: Cells) -> None:
        self._follower = follower
        self._snapshots = snapshots
        self._cells = cells

    async def named(self, data: bytes) -> AsyncIterator[bytes]:
        """The answer to a `Named`: a head, then rows."""
        sql, parameters = parameters_for(_decode(_named, data))
        last = await self._follower.catch_up()
        seq, answer = await self._follower.read(lambda database: _ask(database, sql, parameters))
        columns = tuple(Column(name, kind) for name, kind in answer.columns)
        yield msgspec.json.encode(Head(columns, seq, max(0, last - seq)))
        for part in parts(answer.rows, [column.type for column in columns]):
            yield part

    async def sql(self, data: bytes) -> AsyncIterator[bytes]:
        """The answer to an `Sql`: a head, then rows as the cell makes them."""
        question = _decode(_sql, data)
        async with self._cells.cell() as process:
            last = await self._follower.catch_up()
            async with self._snapshots.use(self._follower.position) as snapshot:
                seq = snapshot.seq
                async with aclosing(ask(process, snapshot.path, question)) as frames:
                    async for frame in frames:
                        if isinstance(frame, bytes):
                            yield frame
                        else:
                            yield msgspec.json.encode(Head(frame, seq, max(0, last - seq)))


def _decode(decoder: msgspec.json.Decoder[Any], data: bytes) -> Any:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError("the question cannot be read", why=str(error)) from error


def _ask(database: Database, sql: str, parameters: dict[str, Any]) -> Answer:
    try:
        return database.answer(sql, parameters)
    except (Failed, *Unfit) as error:
        raise QueryFailed(
            "the question cannot be answered", why=str(error).splitlines()[0], fix="evq status"
        ) from error
