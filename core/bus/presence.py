"""Who is there: one message per name, which the server itself removes when it is not renewed."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from ..ports import BusAway, Stored, WrongSequence
from ..subjects import PRESENCE_BUCKET
from .requests import TIMEOUT, ApiError, Requests, raise_for_error
from .stream import EXPECT, WRONG_LAST_SEQUENCE, Stream, sequence

_PREFIX = f"$KV.{PRESENCE_BUCKET}."


class JetStreamPresence:
    """Presence in a key-value bucket whose messages have a time to live; see `ports.Presence`."""

    def __init__(self, requests: Requests, stream: Stream) -> None:
        self._requests = requests
        self._stream = stream

    async def put(self, name: str, value: bytes, seconds: float, expect: int | None = None) -> int:
        headers = {"Nats-TTL": f"{max(1, math.ceil(seconds))}s"}
        return await self._say(name, value, headers, seconds, expect)

    async def get(self, name: str) -> bytes | None:
        stored = await self.last(name)
        return stored.data if stored and stored.data else None

    async def last(self, name: str) -> Stored | None:
        return await self._stream.last(_PREFIX + name)

    async def remove(self, name: str, expect: int | None = None) -> None:
        headers = {"KV-Operation": "PURGE", "Nats-Rollup": "sub", "Nats-TTL": "1s"}
        await self._say(name, b"", headers, TIMEOUT, expect)

    async def _say(
        self, name: str, value: bytes, headers: dict[str, str], timeout: float, expect: int | None
    ) -> int:
        if expect is not None:
            headers[EXPECT] = str(expect)
        answer = await self._requests.request(_PREFIX + name, value, headers, timeout)
        try:
            raise_for_error(answer.data)
        except ApiError as error:
            if error.err_code in WRONG_LAST_SEQUENCE:
                raise WrongSequence(str(error)) from error
            # A server without room is as good as none: nobody has heard that we live.
            raise BusAway(str(error)) from error
        return sequence(answer.data)

    async def all(self) -> Mapping[str, bytes]:
        found = await self._stream.latest(_PREFIX + ">")
        return {one.subject.removeprefix(_PREFIX): one.data for one in found if one.data}

    @asynccontextmanager
    async def follow(self) -> AsyncIterator[AsyncIterator[Mapping[str, bytes]]]:
        # The bucket keeps the last word on each name only.
        async with self._stream.follow(1) as batches:
            yield _by_name(batches)


async def _by_name(batches: AsyncIterator[list[Stored]]) -> AsyncIterator[Mapping[str, bytes]]:
    async for batch in batches:
        yield {one.subject.removeprefix(_PREFIX): one.data for one in batch}
