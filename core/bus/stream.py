"""A JetStream stream: append with an expectation, read back, follow."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any

import msgspec
from nats.aio.msg import Msg

from ..errors import NotFound, ServerFull
from ..ports import BusAway, Entry, Stored, WrongSequence
from .requests import ApiError, Requests, publish, raise_for_error, status

EXPECT = "Nats-Expected-Last-Subject-Sequence"
MESSAGE_ID = "Nats-Msg-Id"

WRONG_LAST_SEQUENCE = frozenset({10071, 10164})
TOO_MANY_BATCHES = 10210
BATCH_PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds between tries to begin a batch: the server takes 50 at once."""
FULL = frozenset({10002, 10023, 10047, 10077})

PULL_MESSAGES = 4000
PULL_BYTES = 8 * 2**20
PULL_SECONDS = 20.0
RESTART_SECONDS = 0.2
HISTORY_MESSAGES = 256
"""Of one subject, in one answer."""
SECOND = 1_000_000_000


class _Ack(msgspec.Struct):
    seq: int


class _StreamState(msgspec.Struct):
    last_seq: int
    first_seq: int
    messages: int


class StreamInfo(msgspec.Struct):
    """What the server says of a stream. `created` tells a stream from a later one's namesake,
    `ts` is the server's time."""

    state: _StreamState
    created: str
    ts: datetime


_ack = msgspec.json.Decoder(_Ack)
_info = msgspec.json.Decoder(StreamInfo)


def sequence(answer: bytes) -> int:
    """Where the server has put a message, by its answer."""
    return _ack.decode(answer).seq


class Stream:
    """One stream, as the ports `Log` and `Telemetry` want it."""

    def __init__(self, requests: Requests, name: str) -> None:
        self._requests = requests
        self.name = name

    async def append(self, entry: Entry) -> int:
        """Store one message; see `ports.Log`.

        A refusal or a silence can follow on a success whose answer was lost, so both look into
        the stream for a message with this id before they are believed.
        """
        headers = {MESSAGE_ID: entry.id}
        if entry.expect is not None:
            headers[EXPECT] = str(entry.expect)
        try:
            return await self._store(entry.subject, entry.data, headers)
        except ApiError as error:
            if error.err_code not in WRONG_LAST_SEQUENCE:
                raise
            seq = await self._find(entry)
            if seq is None:
                raise WrongSequence(str(error)) from error
            return seq

    async def publish(self, subject: str, data: bytes, id: str) -> None:
        """Store one message without an expectation; see `ports.Telemetry`."""
        await self._store(subject, data, {MESSAGE_ID: id})

    async def _store(self, subject: str, data: bytes, headers: dict[str, str]) -> int:
        answer = (await self._requests.request(subject, data, headers)).data
        try:
            raise_for_error(answer)
        except ApiError as error:
            raise _refusal(error) from error
        return sequence(answer)

    async def append_all(self, entries: Sequence[Entry]) -> int:
        """Store all entries or none, by an atomic batch; see `ports.Log`."""
        if len(entries) == 1:
            return await self.append(entries[0])
        for pause in BATCH_PAUSES:
            try:
                return await self._append_batch(entries)
            except ApiError as error:
                if error.err_code != TOO_MANY_BATCHES:
                    raise
            await asyncio.sleep(pause)
        raise BusAway("the server is busy with too many batches")

    async def _append_batch(self, entries: Sequence[Entry]) -> int:
        batch = secrets.token_hex(12)
        client = self._requests.client
        for number, entry in enumerate(entries, 1):
            # No message id: the server refuses duplicates inside a batch by failing the batch,
            # and the expectations already make a second commit of the same batch impossible.
            headers = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
            if entry.expect is not None:
                headers[EXPECT] = str(entry.expect)
            if number == len(entries):
                headers["Nats-Batch-Commit"] = "1"
            elif number > 1:
                await publish(client, entry.subject, entry.data, headers=headers)
                continue
            answer = (await self._requests.request(entry.subject, entry.data, headers)).data
            try:
                raise_for_error(answer)
            except ApiError as error:
                if error.err_code in WRONG_LAST_SEQUENCE:
                    raise WrongSequence(str(error)) from error
                raise _refusal(error) from error
        return sequence(answer)

    async def _find(self, entry: Entry) -> int | None:
        """The sequence of the stored message with this entry's id, if it was stored."""
        after = entry.expect or 0
        while message := await self._next(entry.subject, after):
            headers = message.headers or {}
            after = int(headers["Nats-Sequence"])
            if headers.get(MESSAGE_ID) == entry.id:
                return after
        return None

    async def _direct(self, request: dict[str, Any]) -> Msg | None:
        message = await self._requests.request(
            f"$JS.API.DIRECT.GET.{self.name}", msgspec.json.encode(request)
        )
        answer = status(message)
        if answer == "404":
            return None
        if answer:
            raise BusAway(f"the server answered {answer} for {request}")
        return message

    async def _next(self, subject: str, after: int) -> Msg | None:
        return await self._direct({"seq": after + 1, "next_by_subj": subject})

    async def get(self, seq: int) -> Stored | None:
        """The message at `seq`."""
        return _stored(await self._direct({"seq": seq}))

    async def age(self, seq: int) -> float:
        """Seconds since the message at `seq` was stored; see `ports.Log`."""
        message = await self._direct({"seq": seq})
        if message is None:
            raise NotFound(f"there is no event {seq} in the log")
        stored = msgspec.convert((message.headers or {})["Nats-Time-Stamp"], datetime)
        return ((await self.info()).ts - stored).total_seconds()

    async def last(self, subject: str) -> Stored | None:
        """The last message on `subject`."""
        return _stored(await self._direct({"last_by_subj": subject}))

    async def latest(self, pattern: str) -> list[Stored]:
        """The last message on each subject that `pattern` stands for; the server does this for at
        most 1024 subjects at once."""
        request = {"multi_last": [pattern], "batch": 10_000}
        messages, end = await self._requests.request_many(
            f"$JS.API.DIRECT.GET.{self.name}", msgspec.json.encode(request)
        )
        if status(end) not in ("204", "404"):
            raise BusAway(f"the server answered {status(end)} for {request}")
        return [stored for stored in map(_stored, messages) if stored]

    async def history(self, subject: str, after: int = 0) -> list[Stored]:
        """The messages on `subject` after a sequence."""
        found: list[Stored] = []
        more = True
        while more:
            request = {"seq": after + 1, "next_by_subj": subject, "batch": HISTORY_MESSAGES}
            messages, end = await self._requests.request_many(
                f"$JS.API.DIRECT.GET.{self.name}", msgspec.json.encode(request)
            )
            if status(end) not in ("204", "404"):
                raise BusAway(f"the server answered {status(end)} for {request}")
            found += filter(None, map(_stored, messages))
            after = found[-1].seq if found else after
            more = (end.headers or {}).get("Nats-Num-Pending", "0") != "0"
        return found

    async def info(self) -> StreamInfo:
        """What the server says of the stream."""
        return _info.decode(await self._requests.api(f"STREAM.INFO.{self.name}"))

    async def last_seq(self) -> int:
        """The sequence of the last message."""
        return (await self.info()).state.last_seq

    @asynccontextmanager
    async def follow(
        self, start: int, subjects: Sequence[str] = ()
    ) -> AsyncIterator[AsyncIterator[list[Stored]]]:
        """Batches of messages from `start` on, without end; see `ports.Log`."""
        follower = _Follower(self._requests, self.name, start, subjects)
        try:
            yield follower.batches()
        finally:
            await follower.close()


def _refusal(error: ApiError) -> Exception:
    """The error in evq's words, where it has some."""
    if error.err_code not in FULL:
        return error
    return ServerFull(
        "the server has no room for another event",
        why=str(error),
        fix="free disk space on the server, or raise its max_file_store",
    )


def _stored(message: Msg | None) -> Stored | None:
    if message is None:
        return None
    headers = message.headers or {}
    return Stored(int(headers["Nats-Sequence"]), headers["Nats-Subject"], message.data)


class _Follower:
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
