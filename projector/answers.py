"""Questions and answers: named ones from files, and SQL of users' own in a cell."""

from __future__ import annotations

import difflib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Any

import msgspec

from ..core.errors import NotFound, QueryFailed, UsageError
from ..core.past import Moment
from ..core.queries import Query, query_name, values_for
from ..core.questions import CATALOGUE, Column, Head, Named, Sql
from . import curves, saved
from .catalogue import questions
from .cells import Cells, ask
from .follow import Follower
from .history.export import check_room
from .listing import composed
from .snapshots import Snapshots
from .store import Answer, Ask, Question
from .values import parts

MADE: Mapping[str, Callable[[Ask, Mapping[str, Any]], Answer]] = {
    curves.QUESTION.name: curves.curve
}
"""Questions that take more than one query."""

_named = msgspec.json.Decoder(Named)
_sql = msgspec.json.Decoder(Sql)


def parameters_for(question: Named) -> tuple[str, dict[str, Any]]:
    """The SQL of one of evq's own questions and all its parameters. Raises `UsageError`."""
    query = own(question.name)
    if query is None:
        raise NotFound(f"there is no question {question.name}", fix="evq sql --list")
    if query.name in MADE:
        raise UsageError(
            f"@{question.name} is no single query",
            why="the projector makes its answer of several, for a screen",
            fix='evq sql "from metrics"',
        )
    return composed(query.text, values_for(query, question.params))


def own(name: str) -> Query | None:
    """evq's own question of this name; `-` and `_` are the same in it."""
    return questions().get(name.replace("-", "_"))


class Answers:
    """What the projector serves on the bus."""

    def __init__(self, follower: Follower, snapshots: Snapshots, cells: Cells) -> None:
        self._follower = follower
        self._snapshots = snapshots
        self._cells = cells

    async def named(self, data: bytes) -> AsyncIterator[bytes]:
        """The answer to a `Named`: a head, then rows. evq's own comes before one that was saved."""
        question = _decode(_named, data)
        if question.name == CATALOGUE:
            answer = self._catalogue(fresh=question.fresh)
        elif question.parquet:
            answer = self._in_a_cell(await self._as_sql(question))
        elif query := own(question.name):
            asked = _own_question(query, values_for(query, question.params))
            answer = self._own(asked, question)
        else:
            answer = self._in_a_cell(await self._as_sql(question))
        async with aclosing(answer):
            async for part in answer:
                yield part

    async def position(self, data: bytes) -> AsyncIterator[bytes]:
        """How far the lifecycle stream is in the database; costs no look into it."""
        yield msgspec.json.encode(Head((), self._follower.position[0]))

    async def sql(self, data: bytes) -> AsyncIterator[bytes]:
        """The answer to an `Sql`: a head, then rows as the cell makes them."""
        async with aclosing(self._in_a_cell(_decode(_sql, data))) as answer:
            async for part in answer:
                yield part

    async def _own(self, asked: Question, question: Named) -> AsyncGenerator[bytes]:
        last = await (self._follower.catch_up() if question.fresh else self._follower.end())
        if question.moment:
            self._check_reached(question.moment)
            last = question.moment.seq
        seq, answer = await self._follower.ask(asked, question.moment)
        columns = tuple(Column(name, kind) for name, kind in answer.columns)
        yield msgspec.json.encode(Head(columns, seq, max(0, last - seq)))
        for part in parts(answer.rows, [column.type for column in columns]):
            yield part

    async def _as_sql(self, question: Named) -> Sql:
        """What a question by name asks, as a query for a cell. Raises `NotFound`, `UsageError`."""
        if own(question.name):
            text, params = parameters_for(question)
        else:
            query = await self._saved(question.name)
            text, params = query.text, values_for(query, question.params)
        return Sql(text, params=params, moment=question.moment, parquet=question.parquet)

    async def _saved(self, name: str) -> Query:
        """The query that a user saved by this name. Raises `NotFound`."""
        wanted = query_name(name)
        await self._follower.catch_up()
        _, known = await self._known()
        for query in known:
            if query.name == wanted:
                return query
        names = [query.name for query in known] + [name.replace("_", "-") for name in questions()]
        near = difflib.get_close_matches(wanted, names, n=3)
        raise NotFound(
            f"there is no query @{wanted}",
            why=f"near it are {', '.join('@' + name for name in near)}" if near else "",
            fix="evq sql --list",
        )

    async def _known(self) -> tuple[int, list[Query]]:
        """The queries that users saved, and the sequence at which these are all."""
        seq, answer = await self._follower.ask(lambda ask: ask(saved.READ, {}))
        return seq, saved.read(answer.rows)

    async def _catalogue(self, *, fresh: bool) -> AsyncGenerator[bytes]:
        """All queries, each as one JSON document: evq's own, then saved ones."""
        last = await (self._follower.catch_up() if fresh else self._follower.end())
        seq, known = await self._known()
        rows = [[msgspec.json.encode(query).decode()] for query in (*questions().values(), *known)]
        yield msgspec.json.encode(Head((Column("query", "JSON"),), seq, max(0, last - seq)))
        for part in parts(rows, ["JSON"]):
            yield part

    async def _in_a_cell(self, question: Sql) -> AsyncGenerator[bytes]:
        async with self._cells.cell() as process:
            moment = question.moment
            least = moment.seq if moment else 0
            if self._snapshots.has(least):
                last = await self._follower.end()  # of what comes now this copy knows nothing
            else:
                last = await self._follower.catch_up()
            if moment:
                self._check_reached(moment)
            here = self._follower.position
            async with self._snapshots.use(here, least, newest=False) as snapshot:
                if question.parquet:
                    check_room(snapshot.path)
                seq, last = (moment.seq, moment.seq) if moment else (snapshot.seq, last)
                async with aclosing(ask(process, snapshot.path, question)) as frames:
                    async for frame in frames:
                        if isinstance(frame, bytes):
                            yield frame
                        else:
                            yield msgspec.json.encode(Head(frame, seq, max(0, last - seq)))

    def _check_reached(self, moment: Moment) -> None:
        """Raise `QueryFailed` if the projection has not come to a moment."""
        seq = self._follower.position[0]
        if seq < moment.seq:
            raise QueryFailed(
                f"event {moment.seq} is not in the database yet",
                why=f"the database has all events up to {seq}",
                fix="ask again in a moment",
            )


def _own_question(query: Query, values: Mapping[str, Any]) -> Question:
    if made := MADE.get(query.name):
        return lambda ask: made(ask, values)
    sql, values = composed(query.text, values)
    return lambda ask: ask(sql, values)


def _decode(decoder: msgspec.json.Decoder[Any], data: bytes) -> Any:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError("the question cannot be read", why=str(error)) from error
