"""Questions are read beside the writing, each by a thread of its own and in one moment.

DuckDB keeps for a reader what was there when it began, however long it takes, while the writer goes
on and checkpoints. So a slow question delays neither the projection nor another question.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from ..core.errors import Conflict, QueryFailed
from ..core.past import Moment
from .past.reader import PastReader
from .store import Answer, Database, Failed, Interrupted, Question, Unfit

AT_ONCE = 8
"""How many questions are read at the same time; more wait for their turn."""

LONGEST_SECONDS = 30.0
"""A question that is read for longer is ended."""

_AGAIN_SECONDS = 0.05
"""Between two queries an interrupt is lost: whoever is to end is told so until it has ended."""


class Readers:
    """The readers of one open database."""

    def __init__(self, database: Database, seconds: float = LONGEST_SECONDS) -> None:
        """A question may take `seconds` from its turn on."""
        self._seconds = seconds
        self._present = _Pool([database.reader() for _ in range(AT_ONCE)])
        self._past = _Pool([PastReader(database.beside())])
        self._threads = ThreadPoolExecutor(AT_ONCE + 1, "reader")
        self._at_work: set[Future[tuple[int, Answer]]] = set()
        self._closed = False

    async def ask(self, question: Question, moment: Moment | None = None) -> tuple[int, Answer]:
        """The lifecycle sequence that the answer knows of, and the answer, of now or of a moment.

        Raises `QueryFailed`, `Conflict` if the database is being closed, or what the question
        raises.
        """
        if moment is None:
            return await self._read(self._present, lambda reader: reader.ask(question))
        return await self._read(self._past, lambda reader: reader.ask(question, moment))

    async def _read(
        self, pool: _Pool[R], work: Callable[[R], tuple[int, Answer]]
    ) -> tuple[int, Answer]:
        async with pool.turns:
            if self._closed:
                raise being_opened()
            reader = pool.idle.pop()
            working = self._threads.submit(work, reader)
            self._at_work.add(working)
            reading = asyncio.wrap_future(working)
            loop = asyncio.get_running_loop()
            end = loop.call_later(self._seconds, _end, reader, working)
            try:
                return await asyncio.shield(reading)
            except asyncio.CancelledError:
                # Nobody wants it any more, but the reader cannot be lent before it is done.
                _end(reader, working)
                with suppress(Exception):
                    await reading
                raise
            except Interrupted as error:
                raise being_opened() if self._closed else self._too_slow() from error
            except (Failed, *Unfit) as error:
                raise QueryFailed(
                    "the question cannot be answered",
                    why=str(error).splitlines()[0],
                    fix="evq status",
                ) from error
            finally:
                end.cancel()
                self._at_work.discard(working)
                pool.idle.append(reader)

    def close(self) -> None:
        """End what is being read, and let the file go: DuckDB holds it until the last of its
        connections is closed. May be called in any thread."""
        self._closed = True
        readers: list[_Reads] = [*self._present.all, *self._past.all]
        self._threads.shutdown(wait=False)
        while at_work := [one for one in tuple(self._at_work) if not one.done()]:
            for reader in readers:
                reader.interrupt()
            wait(at_work, _AGAIN_SECONDS)
        self._threads.shutdown()
        for reader in readers:
            reader.close()

    def _too_slow(self) -> QueryFailed:
        return QueryFailed(
            f"the question was ended after {self._seconds:g} s",
            why="it was not answered by then",
            fix="ask for less: fewer days, fewer tasks",
        )


def _end(reader: _Reads, working: Future[tuple[int, Answer]]) -> None:
    """End what a reader does; to be called in the loop."""
    if not working.done():
        reader.interrupt()
        asyncio.get_running_loop().call_later(_AGAIN_SECONDS, _end, reader, working)


class _Reads(Protocol):
    def interrupt(self) -> None: ...
    def close(self) -> None: ...


R = TypeVar("R", bound=_Reads)


class _Pool(Generic[R]):
    """Those who can be asked the same; each has one question at a time."""

    def __init__(self, readers: Sequence[R]) -> None:
        self.all = readers
        self.idle = list(readers)
        self.turns = asyncio.Semaphore(len(readers))


def being_opened() -> Conflict:
    """Nothing can be read at the moment."""
    return Conflict("the database is being opened again", fix="ask again in a moment")
