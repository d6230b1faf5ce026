"""The queues: one shared durable consumer per level, and a small puller of our own.

A pull that waits costs the server almost nothing, so an idle agent leaves one on every level
and is woken within a millisecond. nats-py's `fetch` hides errors, and a pull whose subscription
ends loses what was on its way: it would come again only after `ACK_WAIT`. So the subscription of
a pull that waits ends by itself with its first message. To withdraw the pull, we send that message
ourselves: either it comes first and nobody listens any more, or what we were sent is handed back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from ..ports import BusAway, Delivery, Stored
from ..subjects import LEVELS_BUCKET, LIFECYCLE_STREAM, Level, parse_hint
from .requests import ApiError, Requests, listen_once, publish
from .stream import SECOND, Stream

ACK_WAIT = 10.0
"""Seconds after which a queue message that nobody mentions is handed out again.

It decides how soon others look at a silent agent's task, not whether they may take it."""

MAX_WAITING = 100_000
MAX_PENDING = 100_000
CONSUMER_EXISTS = 10148
PULL_ANSWER_SECONDS = 5.0
PULL_SECONDS = 30.0
HOLD_SECONDS = 0.005


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

    @property
    def token(self) -> str:
        return self.reply

    async def done(self) -> None:
        await self._say(b"+ACK")

    async def later(self, delay: float) -> None:
        # Without a delay it is the next to be handed out; with the shortest one, a timer's.
        nanoseconds = round(delay * SECOND)
        await self._say(b'-NAK {"delay": %d}' % nanoseconds if nanoseconds > 0 else b"-NAK")

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
        self._inbox = ""
        self._taking: dict[str, _Taking] = {}
        self._takes = 0
        self._pulls: dict[Level, _Pull] = {}
        """Those that wait at the server."""
        self._first: dict[asyncio.Future[Delivery | None], frozenset[Level]] = {}
        """Who waits in `take_first`, and for which levels."""
        self._hand: list[Delivery] = []
        """What came while nobody waited; whoever takes next gets it, or it is handed back."""
        self._background: set[asyncio.Task[None]] = set()
        requests.on_lost.add(self._forget_pulls)

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

    async def take(self, level: Level, limit: int) -> Sequence[Delivery]:
        if held := self._from_hand({level}, limit):
            return held
        loop = asyncio.get_running_loop()
        taking = _Taking(level, limit, loop.create_future())
        self._takes += 1
        inbox = f"{await self._takes_inbox()}.{self._takes}"
        self._taking[inbox] = taking
        timer = loop.call_later(PULL_ANSWER_SECONDS, taking.finish)
        try:
            await self._pull(level, {"batch": limit, "no_wait": True}, inbox)
            await taking.over
        finally:
            timer.cancel()
            del self._taking[inbox]
        return taking.found

    async def take_first(self, levels: Sequence[Level], seconds: float) -> Delivery | None:
        if held := self._from_hand(levels, 1):
            return held[0]
        loop = asyncio.get_running_loop()
        first: asyncio.Future[Delivery | None] = loop.create_future()
        self._first[first] = frozenset(levels)
        end = loop.time() + seconds
        try:
            while not first.done() and (now := loop.time()) < end:
                for level in levels:
                    await self._leave_pull(level, now)
                pulls = (self._pulls[level] for level in levels if level in self._pulls)
                over = min((end, *(pull.until for pull in pulls)))
                await asyncio.wait((first,), timeout=over - now)
        except BaseException:
            if first.done() and (delivery := first.result()):
                await delivery.later(0)
            raise
        finally:
            del self._first[first]
        return first.result() if first.done() else None

    async def _leave_pull(self, level: Level, now: float) -> None:
        """See to it that a pull of ours waits at the server for the level's next message."""
        waiting = self._pulls.get(level)
        if waiting and waiting.until > now:
            return
        self._pulls[level] = pull = _Pull(level, now + PULL_SECONDS, self._client.new_inbox())
        request = {"batch": 1, "expires": int(PULL_SECONDS * SECOND)}
        try:
            pull.subscription = await listen_once(
                self._client, pull.inbox, partial(self._came, pull)
            )
            await self._pull(level, request, pull.inbox)
        except BusAway:
            self._pulls.pop(level, None)
            raise

    async def withdraw(self, unless: Callable[[Level], bool]) -> None:
        for delivery in [one for one in self._hand if not unless(one.level)]:
            self._hand_back(delivery)
        for level in [level for level in self._pulls if not unless(level)]:
            pull = self._pulls.pop(level)
            pull.withdrawn = True
            with suppress(BusAway):
                await publish(self._client, pull.inbox, b"")

    def _forget_pulls(self) -> None:
        """The server forgets them with the connection; a restarted one would never end them."""
        for pull in self._pulls.values():
            self._spawn(pull.end())
        self._pulls.clear()

    async def _came(self, pull: _Pull, message: Msg) -> None:
        """The one message of a pull that waited: a delivery, a status, or our own withdrawal."""
        if self._pulls.get(pull.level) is pull:
            del self._pulls[pull.level]
        if not message.reply:
            return
        delivery = self._delivery(message)
        if pull.withdrawn:
            await delivery.later(0)
        elif not any(taking.accepts(delivery) for taking in self._taking.values()):
            self._give(delivery)

    async def _taken(self, message: Msg) -> None:
        """A message for a `take`, or the word that there are no more."""
        if message.reply:
            delivery = self._delivery(message)
            if not any(taking.accepts(delivery) for taking in self._taking.values()):
                self._give(delivery)
        elif taking := self._taking.get(message.subject):
            taking.finish()

    def _give(self, delivery: JetStreamDelivery) -> None:
        """Hand the delivery to somebody who waits for its level, else keep it for a moment."""
        for first, levels in self._first.items():
            if delivery.level in levels and not first.done():
                first.set_result(delivery)
                return
        # To hand it back at once would cost its place: a busy caller is back in no time.
        self.put_back(delivery)

    def put_back(self, delivery: Delivery) -> None:
        self._hand.append(delivery)
        asyncio.get_running_loop().call_later(HOLD_SECONDS, self._hand_back, delivery)

    def _from_hand(self, levels: Collection[Level], limit: int) -> list[Delivery]:
        found = [delivery for delivery in self._hand if delivery.level in levels][:limit]
        for delivery in found:
            self._hand.remove(delivery)
        return found

    def _hand_back(self, delivery: Delivery) -> None:
        if delivery in self._hand:
            self._hand.remove(delivery)
            self._spawn(delivery.later(0))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def hand_back(self, token: str) -> None:
        await publish(self._client, token, b"-NAK")

    async def wake(self) -> None:
        for first in self._first:
            if not first.done():
                first.set_result(None)

    async def waiting(self, level: Level) -> int:
        answer = await self._requests.api(f"CONSUMER.INFO.{LIFECYCLE_STREAM}.{level.consumer}")
        return _consumer.decode(answer).num_pending

    def _delivery(self, message: Msg) -> JetStreamDelivery:
        hint = parse_hint(message.subject)
        assert hint is not None, message.subject
        return JetStreamDelivery(self._client, message, hint.level, hint.task)

    async def _takes_inbox(self) -> str:
        # One subscription for all: an own one for each `take` would cost more than the take.
        if not self._inbox:
            self._inbox = self._client.new_inbox()
            await self._client.subscribe(self._inbox + ".*", cb=self._taken)
        return self._inbox

    async def _pull(self, level: Level, request: dict[str, Any], inbox: str) -> None:
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{LIFECYCLE_STREAM}.{level.consumer}"
        await publish(self._client, subject, msgspec.json.encode(request), inbox)


class _Pull:
    """A pull that waits at the server until `until` on the loop's clock."""

    __slots__ = ("inbox", "level", "subscription", "until", "withdrawn")

    def __init__(self, level: Level, until: float, inbox: str) -> None:
        self.level = level
        self.until = until
        self.inbox = inbox
        self.subscription: Subscription | None = None
        self.withdrawn = False

    async def end(self) -> None:
        """Hear nothing more."""
        if self.subscription:
            with suppress(nats.errors.Error):
                await self.subscription.unsubscribe()


class _Taking:
    """A `take` on its way: what came for it so far."""

    def __init__(self, level: Level, limit: int, over: asyncio.Future[None]) -> None:
        self.level = level
        self.limit = limit
        self.over = over
        self.found: list[JetStreamDelivery] = []

    def accepts(self, delivery: JetStreamDelivery) -> bool:
        """Whether the delivery was for us; then it is ours."""
        if delivery.level != self.level or self.over.done():
            return False
        self.found.append(delivery)
        if len(self.found) == self.limit:
            self.finish()
        return True

    def finish(self) -> None:
        if not self.over.done():
            self.over.set_result(None)


class _ConsumerInfo(msgspec.Struct):
    num_pending: int


_consumer = msgspec.json.Decoder(_ConsumerInfo)


def _level(message: Stored) -> Level:
    return Level.from_key(message.subject.removeprefix(f"$KV.{LEVELS_BUCKET}."))


async def _each_level(batches: AsyncIterator[list[Stored]]) -> AsyncIterator[Level]:
    async for batch in batches:
        for message in batch:
            yield _level(message)
