"""Follows a stream from a sequence on, over lost connections and lost consumers."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from nats.aio.msg import Msg

from ..ports import BusAway, Stored
from .requests import ApiError, Requests, publish, status

PULL_MESSAGES = 4000
PULL_BYTES = 8 * 2**20
PULL_SECONDS = 20.0
RESTART_SECONDS = 0.2
SECOND = 1_000_000_000


class Follower:
    """Reads a stream through a consumer of its own, two pulls in flight, without acks.

    The consumer is disposable: after a lost connection or a lost consumer a new one starts
    behind the last message that was seen.
    """

    def __init__(
        self, requests: Requests, stream: str, start: int, subjects: Sequence[str]
    ) -> None:
        self._requests = requests
        self._stream = stream
        self._next = max(1, start)
        self._subjects = list(subjects)
        self._batch: list[Stored] = []
        self._arrived = asyncio.Event()
        self._broken = True
        self._delivered = 0
        self._pulls: deque[tuple[str, int]] = deque()
        self._pull_count = 0
        self._inbox = ""
        self._consumer = ""
        self._subscription: Any = None

    async def batches(self) -> AsyncIterator[list[Stored]]:
        self._requests.on_lost.add(self._lost)
        while True:
            if self._broken:
                await self._restart()
            await self._top_up()
            if self._broken:
                await asyncio.sleep(RESTART_SECONDS)
                continue
            try:
                async with asyncio.timeout(PULL_SECONDS * 2):
                    await self._arrived.wait()
            except TimeoutError:
                # Two pulls' lives without even a status: the consumer is gone.
                self._broken = True
                continue
            self._arrived.clear()
            if self._batch:
                batch, self._batch = self._batch, []
                yield batch

    def _lost(self) -> None:
        """The connection is gone, the pulls with it, and perhaps messages on their way to us."""
        self._broken = True
        self._arrived.set()

    async def _restart(self) -> None:
        await self._drop_consumer()
        self._broken = False
        self._delivered = 0
        self._pulls.clear()
        self._inbox = self._requests.client.new_inbox()
        self._consumer = "f-" + secrets.token_hex(8)
        config: dict[str, Any] = {
            "name": self._consumer,
            "ack_policy": "none",
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._next,
            "inactive_threshold": 60 * SECOND,
            "mem_storage": True,
            "num_replicas": 1,
        }
        if self._subjects:
            config["filter_subjects"] = self._subjects
        try:
            await self._requests.api(
                f"CONSUMER.CREATE.{self._stream}.{self._consumer}",
                {"stream_name": self._stream, "config": config, "action": "create"},
            )
            self._subscription = await self._requests.client.subscribe(
                self._inbox + ".*",
                cb=self._received,
                pending_msgs_limit=-1,
                pending_bytes_limit=-1,
            )
        except BusAway:
            self._broken = True

    async def _top_up(self) -> None:
        while len(self._pulls) < 2 and not self._broken:
            self._pull_count += 1
            token = str(self._pull_count)
            self._pulls.append((token, PULL_MESSAGES))
            request = {
                "batch": PULL_MESSAGES,
                "max_bytes": PULL_BYTES,
                "expires": int(PULL_SECONDS * SECOND),
            }
            try:
                await publish(
                    self._requests.client,
                    f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}",
                    msgspec.json.encode(request),
                    f"{self._inbox}.{token}",
                )
            except BusAway:
                self._broken = True

    async def _received(self, message: Msg) -> None:
        if self._broken:
            return  # the next consumer brings it again
        answer = "" if message.reply else status(message)
        if answer:
            self._status(message.subject.rsplit(".", 1)[1], answer)
        else:
            self._take(message)
        self._arrived.set()

    def _take(self, message: Msg) -> None:
        seq, delivered = _sequences(message.reply)
        if delivered != self._delivered + 1:
            # The server sent one that never arrived: what follows it would hide the gap.
            self._broken = True
            return
        self._delivered = delivered
        self._next = seq + 1
        self._batch.append(Stored(seq, message.subject, message.data))
        self._count_one()

    def _count_one(self) -> None:
        if self._pulls:
            token, left = self._pulls[0]
            if left == 1:
                self._pulls.popleft()
            else:
                self._pulls[0] = (token, left - 1)

    def _status(self, token: str, answer: str) -> None:
        if answer == "100":
            return
        if answer not in ("404", "408", "409"):
            self._broken = True
        if answer == "409" and not self._batch:
            # "Consumer deleted", "server shutdown" and a reached byte limit all say 409; a new
            # consumer costs 3 ms and is right in each case.
            self._broken = True
        self._pulls = deque(pull for pull in self._pulls if pull[0] != token)

    async def close(self) -> None:
        self._requests.on_lost.discard(self._lost)
        await self._drop_consumer()

    async def _drop_consumer(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is None:
            return
        # The server drops a consumer nobody pulls from; this only tidies up sooner.
        with suppress(Exception):
            await subscription.unsubscribe()
        with suppress(BusAway, ApiError):
            await self._requests.api(f"CONSUMER.DELETE.{self._stream}.{self._consumer}", timeout=1)


def _sequences(reply: str) -> tuple[int, int]:
    """The stream's and the consumer's sequence in an ack subject, in its old or longer form."""
    parts = reply.split(".")
    at = 5 if len(parts) == 9 else 7
    return int(parts[at]), int(parts[at + 1])
