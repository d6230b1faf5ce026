"""The queues: one shared durable consumer per level, and a small puller of our own.

A pull that waits costs the server almost nothing, so an idle agent leaves one on every level
and is woken within a millisecond. nats-py's `fetch` hides errors and loses messages of a pull
that was given up; this puller hands back whatever comes too late.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from ..ports import BusAway, Stored
from ..subjects import LEVELS_BUCKET, LIFECYCLE_STREAM, Level, parse_hint
from .requests import ApiError, Requests, publish, status
from .stream import SECOND, Stream

ACK_WAIT = 10.0
"""Seconds after which a queue message that nobody mentions is handed out again.

It decides how soon others look at a silent agent's task, not whether they may take it."""

MAX_WAITING = 100_000
MAX_PENDING = 100_000
CONSUMER_EXISTS = 10148
PULL_ANSWER_SECONDS = 5.0


class JetStreamDelivery:
    """A queue message from a consumer; see `ports.Delivery`."""

    __slots__ = ("_client", "data", "level", "redelivered", "reply", "seq", "task")

    def __init__(self, client: Client, message: Msg, level: Level, task: str) -> None:
        self._client = client
        self.data: bytes = message.data
        self.level = level
        self.task = task
        self.reply = message.reply
        parts = message.reply.split(".")
        # $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.… with two tokens more before
        # <stream> in the newer form.
        at = 4 if len(parts) == 9 else 6
        self.redelivered = parts[at] != "1"
        self.seq = int(parts[at + 1])

    async def done(self) -> None:
        await self._say(b"+ACK")

    async def later(self, delay: float) -> None:
        await self._say(b'-NAK {"delay": %d}' % max(1, round(delay * SECOND)))

    async def working(self) -> None:
        await self._say(b"+WPI")

    async def _say(self, word: bytes) -> None:
        """A word that is lost with the connection is said by silence: redelivery follows."""
        try:
            await publish(self._client, self.reply, word)
        except BusAway:
            return


class JetStreamHints:
    """The queues on JetStream; see `ports.Hints`."""

    def __init__(self, requests: Requests, levels: Stream) -> None:
        self._requests = requests
        self._client = requests.client
        self._levels = levels
        self._wake: asyncio.Future[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def ensure(self, level: Level) -> None:
        subject = f"$KV.{LEVELS_BUCKET}.{level.key}"
        if await self._levels.last(subject):
            return
        await self._create_consumer(level)
        await self._levels.publish(subject, b"{}", id=f"level-{level.key}")

    async def _create_consumer(self, level: Level) -> None:
        config = {
            "name": level.consumer,
            "durable_name": level.consumer,
            "filter_subject": level.filter,
            "ack_policy": "explicit",
            "ack_wait": int(ACK_WAIT * SECOND),
            "deliver_policy": "all",
            "max_deliver": -1,
            "max_ack_pending": MAX_PENDING,
            "max_waiting": MAX_WAITING,
        }
        try:
            # `add_consumer` of nats-py is an upsert that would change another's filter.
            await self._requests.api(
                f"CONSUMER.CREATE.{LIFECYCLE_STREAM}.{level.consumer}.{level.filter}",
                {"stream_name": LIFECYCLE_STREAM, "config": config, "action": "create"},
            )
        except ApiError as error:
            if error.err_code != CONSUMER_EXISTS:
                raise

    async def levels(self) -> list[Level]:
        found: list[Level] = []
        async with self._levels.follow(1) as batches:
            last = await self._levels.last_seq()
            if last:
                async for batch in batches:
                    found += [_level(message) for message in batch]
                    if batch[-1].seq >= last:
                        break
        return sorted(set(found))

    @asynccontextmanager
    async def watch(self, queues: Sequence[str]) -> AsyncIterator[AsyncIterator[Level]]:
        subjects = [f"$KV.{LEVELS_BUCKET}.{queue}.>" for queue in queues]
        async with self._levels.follow(1, subjects) as batches:
            yield _each_level(batches)

    async def take(self, level: Level, limit: int) -> list[JetStreamDelivery]:
        found: list[JetStreamDelivery] = []
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def received(message: Msg) -> None:
            if not message.reply and status(message):
                _finish(over)
                return
            delivery = self._delivery(message)
            if over.done():
                await delivery.later(0)
                return
            found.append(delivery)
            if len(found) == limit:
                _finish(over)

        inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(inbox, cb=received)
        try:
            await self._pull(level, {"batch": limit, "no_wait": True}, inbox)
            async with asyncio.timeout(PULL_ANSWER_SECONDS):
                await over
        except TimeoutError as error:
            if not found:
                raise BusAway("no answer to a pull") from error
        finally:
            _finish(over)
            await self._let_go(subscription, outstanding=len(found) < limit)
        return found

    async def take_first(self, levels: Sequence[Level], seconds: float) -> JetStreamDelivery | None:
        loop = asyncio.get_running_loop()
        first: asyncio.Future[JetStreamDelivery] = loop.create_future()
        self._wake = loop.create_future()

        async def received(message: Msg) -> None:
            if not message.reply and status(message):
                return
            delivery = self._delivery(message)
            if first.done():
                await delivery.later(0)
            else:
                first.set_result(delivery)

        inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(inbox, cb=received)
        try:
            for level in levels:
                await self._pull(level, {"batch": 1, "expires": int(seconds * SECOND)}, inbox)
            await asyncio.wait(
                (first, self._wake), timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            if not first.done():
                first.cancel()
            await self._let_go(subscription, outstanding=len(levels) > 1 or first.cancelled())
        return None if first.cancelled() else first.result()

    async def wake(self) -> None:
        if self._wake and not self._wake.done():
            self._wake.set_result(None)

    async def waiting(self, level: Level) -> int:
        answer = await self._requests.api(f"CONSUMER.INFO.{LIFECYCLE_STREAM}.{level.consumer}")
        return _consumer.decode(answer).num_pending

    def _delivery(self, message: Msg) -> JetStreamDelivery:
        hint = parse_hint(message.subject)
        assert hint is not None, message.subject
        return JetStreamDelivery(self._client, message, hint.level, hint.task)

    async def _pull(self, level: Level, request: dict[str, Any], inbox: str) -> None:
        await publish(
            self._client,
            f"$JS.API.CONSUMER.MSG.NEXT.{LIFECYCLE_STREAM}.{level.consumer}",
            msgspec.json.encode(request),
            inbox,
        )

    async def _let_go(self, subscription: Any, outstanding: bool) -> None:
        """Drain a subscription whose pulls may still bring messages; `received` returns them."""
        if not outstanding:
            await subscription.unsubscribe()
            return
        task = asyncio.ensure_future(_drain(subscription))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _ConsumerInfo(msgspec.Struct):
    num_pending: int
    num_ack_pending: int


_consumer = msgspec.json.Decoder(_ConsumerInfo)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _drain(subscription: Any) -> None:
    try:
        await subscription.drain()
    except Exception:
        return  # the connection is gone, and the pulls with it


def _level(message: Stored) -> Level:
    return Level.from_key(message.subject.removeprefix(f"$KV.{LEVELS_BUCKET}."))


async def _each_level(batches: AsyncIterator[list[Stored]]) -> AsyncIterator[Level]:
    async for batch in batches:
        for message in batch:
            yield _level(message)
