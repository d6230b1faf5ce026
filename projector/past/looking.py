"""Looks back beside the projection: on a thread and a connection of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ...core.errors import QueryFailed
from ...core.past import Moment
from ..store import Answer, Database, Failed, Unfit
from .connection import Past

T = TypeVar("T")


class LookingBack:
    """One look at a time, so that the next one finds what was folded for the one before."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "past")
        self._past: Past | None = None

    async def ask(
        self, database: Database, moment: Moment, sql: str, parameters: Mapping[str, Any]
    ) -> Answer:
        """The answer to a question as it was at the moment. Raises `QueryFailed`.

        Whoever closes the database calls `leave` before.
        """
        try:
            return await self._in_thread(lambda: self._ask(database, moment, sql, parameters))
        except (Failed, *Unfit) as error:
            raise QueryFailed(
                "the question cannot be answered", why=str(error).splitlines()[0], fix="evq status"
            ) from error

    async def leave(self) -> None:
        """Let go of the database when the present look is over."""
        await self._in_thread(self._leave)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _ask(
        self, database: Database, moment: Moment, sql: str, parameters: Mapping[str, Any]
    ) -> Answer:
        if self._past is None:
            self._past = Past(database.beside())
        try:
            with self._past.at(moment) as tables:
                return tables.answer(sql, parameters)
        except Failed:
            self._leave()
            raise

    def _leave(self) -> None:
        past, self._past = self._past, None
        if past:
            past.close()
