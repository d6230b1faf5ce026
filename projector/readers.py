"""Questions are read beside the writing, each by a thread of its own and in one moment.

DuckDB keeps for a reader what was there when it began, however long it takes, while the writer goes
on and checkpoints. So a slow question delays neither the projection nor another question.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from ..core.errors import Conflict, QueryFailed
from .store import Answer, Database, Failed, Interrupted, Unfit

AT_ONCE = 8
"""How many questions are read at the same time; more wait for their turn."""

LONGEST_SECONDS = 30.0
"""A question that is read for longer is ended."""


class Readers:
    """The readers of one open database."""

    def __init__(self, database: Database, seconds: float = LONGEST_SECONDS) -> None:
        """A question may take `seconds` from its turn on."""
        self._seconds = seconds
        self._all = [database.reader() for _ in range(AT_ONCE)]
        self._idle = self._all.copy()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._threads = ThreadPoolExecutor(AT_ONCE, "reader")
        self._closed = False

    async def ask(self, sql: str, parameters: Mapping[str, Any]) -> tuple[int, Answer]:
        """The lifecycle sequence that the answer knows of, and the answer.

        Raises `QueryFailed`, or `Conflict` if the database is being closed.
        """
        async with self._turns:
            if self._closed:
                raise being_opened()
            reader = self._idle.pop()
            loop = asyncio.get_running_loop()
            reading = loop.run_in_executor(self._threads, reader.ask, sql, parameters)
            end = loop.call_later(self._seconds, reader.interrupt)
            try:
                return await asyncio.shield(reading)
            except asyncio.CancelledError:
                # Nobody wants it any more, but the reader cannot be lent before it is done.
                reader.interrupt()
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
                self._idle.append(reader)

    def close(self) -> None:
        """End what is being read, and let the file go: DuckDB holds it until the last of its
        connections is closed. May be called in any thread."""
        self._closed = True
        for reader in self._all:
            reader.interrupt()
        self._threads.shutdown()
        for reader in self._all:
            reader.close()

    def _too_slow(self) -> QueryFailed:
        return QueryFailed(
            f"the question was ended after {self._seconds:g} s",
            why="it was not answered by then",
            fix="ask for less: fewer days, fewer tasks",
        )


def being_opened() -> Conflict:
    """Nothing can be read at the moment."""
    return Conflict("the database is being opened again", fix="ask again in a moment")
