"""Where pages get what they show: the projector's answers, and the live fleet beside them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from ...core.questions import Head, Named, Sql
from ...core.sdk.client import Client
from ...core.sdk.live import LiveFleet
from ...core.sdk.parquet import parquet
from ...core.sdk.viewers import Viewers


class Answer:
    """Rows as dicts, and the last lifecycle event that they know of."""

    def __init__(self, head: Head | None, rows: list[dict[str, Any]]) -> None:
        self.columns = head.columns if head else ()
        self.seq = head.seq if head else 0
        self.behind = head.behind if head else 0
        self.rows = rows


Ask = Callable[..., Awaitable[Answer]]
"""`Source.named` or `Source.known`."""


class Source:
    """All that the pages ask; one for the process, shared by every open page.

    `fleet` is what happens now, without asking anybody; see `following.follow`. `viewers` are
    those who may look.
    """

    def __init__(self, client: Client, fleet: LiveFleet, viewers: Viewers) -> None:
        self.client = client
        self.fleet = fleet
        self.viewers = viewers

    async def named(self, name: str, /, **params: Any) -> Answer:
        """The answer to a question that the projector knows by name, as soon as all that the
        streams hold is in it. Raises `EvqError`."""
        return await self.ask(Named(name, params))

    async def known(self, name: str, /, **params: Any) -> Answer:
        """The same as far as the projector has come, at once: for who follows the streams from
        there on, or asks again if the answer is `behind`. Raises `EvqError`."""
        return await self.ask(Named(name, params, fresh=False))

    async def sql(
        self,
        text: str,
        *,
        timeout: float = 10.0,
        rows: int = 10_000,
        params: Mapping[str, Any] | None = None,
    ) -> Answer:
        """The answer to a query of the user's own; `timeout` is in seconds. Raises `EvqError`."""
        return await self.ask(Sql(text, timeout, rows, dict(params or {})))

    def parquet(self, question: Named | Sql) -> AsyncIterator[bytes]:
        """The answer as a Parquet file, piece by piece. Raises `EvqError`."""
        return parquet(self.client, question)

    async def ask(self, question: Named | Sql) -> Answer:
        """The answer to a question. Raises `EvqError`."""
        head: Head | None = None
        rows: list[dict[str, Any]] = []
        async for part in self.client.answer(question):
            if isinstance(part, Head):
                head = part
                continue
            assert head is not None
            names = [column.name for column in head.columns]
            rows += (dict(zip(names, row, strict=True)) for row in part)
        return Answer(head, rows)
