"""Requests over one shared inbox, with a typed end for each: an answer, a refusal, or silence.

nats-py's own `request` costs several times as much and hides errors of the JetStream API in a
second layer; this is what everything else in this folder stands on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from ..ports import BusAway

TIMEOUT = 5.0


class ApiError(Exception):
    """JetStream refused a request; `err_code` is NATS's own, stable number."""

    def __init__(self, err_code: int, description: str) -> None:
        super().__init__(f"{description} ({err_code})")
        self.err_code = err_code


class _Error(msgspec.Struct):
    code: int
    err_code: int = 0
    description: str = ""


class _Reply(msgspec.Struct):
    error: _Error | None = None


_reply = msgspec.json.Decoder(_Reply)


def status(message: Msg) -> str:
    """The status of a message that is one (`404`, `408`, `503` …), else the empty string."""
    headers = message.headers
    return headers.get("Status", "") if headers else ""


class Requests:
    """Sends requests and hands each answer to the one who waits for it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._inbox = client.new_inbox()
        self._waiting: dict[str, asyncio.Future[Msg]] = {}
        self._gathering: dict[str, list[Msg]] = {}
        """What came so far for those who wait for several messages and a status behind them."""
        self._count = 0
        self.on_lost: set[Callable[[], None]] = set()
        """Called when the connection is gone."""

    async def start(self) -> None:
        """Subscribe to the inbox; needed once."""
        await self.client.subscribe(self._inbox + ".*", cb=self._answered)

    async def _answered(self, message: Msg) -> None:
        token = message.subject[len(self._inbox) + 1 :]
        if (gathered := self._gathering.get(token)) is not None and not status(message):
            gathered.append(message)
            return
        waiting = self._waiting.pop(token, None)
        if waiting and not waiting.done():
            waiting.set_result(message)

    def fail_all(self, why: str) -> None:
        """Tell everybody who waits that no answer will come: the connection is gone."""
        for lost in list(self.on_lost):
            lost()
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(BusAway(why))

    @contextmanager
    def _answer_to(self, subject: str, timeout: float) -> Iterator[tuple[str, asyncio.Future[Msg]]]:
        loop = asyncio.get_running_loop()
        self._count += 1
        token = str(self._count)
        answer: asyncio.Future[Msg] = loop.create_future()
        self._waiting[token] = answer
        timer = loop.call_later(timeout, _expire, answer, subject, timeout)
        try:
            yield f"{self._inbox}.{token}", answer
        finally:
            timer.cancel()
            self._waiting.pop(token, None)

    async def settle(self, timeout: float = TIMEOUT) -> None:
        """Return when the server has taken in all that was sent before, subscriptions too.

        `flush` of nats-py does not promise that: its ping overtakes what waits to be written.
        """
        with self._answer_to("our own inbox", timeout) as (inbox, echo):
            await publish(self.client, inbox, b"")
            await echo

    async def request(
        self,
        subject: str,
        data: bytes = b"",
        headers: dict[str, str] | None = None,
        timeout: float = TIMEOUT,
    ) -> Msg:
        """The answer to a request. Raises `BusAway` on silence, or if nobody listens."""
        with self._answer_to(subject, timeout) as (inbox, answer):
            await publish(self.client, subject, data, inbox, headers)
            message = await answer
        if not message.data and status(message) == "503":
            raise BusAway(f"nobody answers on {subject}")
        return message

    async def request_many(
        self, subject: str, data: bytes, timeout: float = TIMEOUT
    ) -> tuple[list[Msg], Msg]:
        """The messages that answer a request, and the status that ends them. Raises `BusAway`."""
        with self._answer_to(subject, timeout) as (inbox, end):
            token = inbox[len(self._inbox) + 1 :]
            self._gathering[token] = []
            try:
                await publish(self.client, subject, data, inbox)
                last = await end
                return self._gathering[token], last
            finally:
                del self._gathering[token]

    async def api(self, endpoint: str, payload: Any = None, timeout: float = TIMEOUT) -> bytes:
        """The answer of the JetStream API. Raises `ApiError` if it is a refusal."""
        data = b"" if payload is None else msgspec.json.encode(payload)
        answer = (await self.request(f"$JS.API.{endpoint}", data, timeout=timeout)).data
        raise_for_error(answer)
        return answer


def raise_for_error(answer: bytes) -> None:
    """Raise `ApiError` if a JetStream answer holds an error."""
    if b'"error"' in answer:
        error = _reply.decode(answer).error
        if error:
            raise ApiError(error.err_code, error.description)


def _expire(future: asyncio.Future[Msg], subject: str, timeout: float) -> None:
    if not future.done():
        future.set_exception(BusAway(f"no answer on {subject} in {timeout:g} s"))


async def publish(
    client: Client,
    subject: str,
    data: bytes,
    reply: str = "",
    headers: dict[str, str] | None = None,
) -> None:
    """Publish; a connection that is away raises `BusAway` and nothing is kept for later."""
    try:
        await client.publish(subject, data, reply, headers)
    except (nats.errors.Error, OSError) as error:
        raise BusAway(str(error) or type(error).__name__) from error


async def listen_once(
    client: Client, subject: str, heard: Callable[[Msg], Coroutine[Any, Any, None]]
) -> Subscription:
    """Call `heard` with the first message on a subject; the subscription ends with it."""
    try:
        subscription = await client.subscribe(subject, cb=heard)
        await subscription.unsubscribe(1)
    except (nats.errors.Error, OSError) as error:
        raise BusAway(str(error) or type(error).__name__) from error
    return subscription
