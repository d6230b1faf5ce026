"""A JetStream stream: append with an expectation, read back, follow."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from nats.aio.msg import Msg

from ..errors import NotFound, ServerFull
from ..ports import BusAway, Entry, Stored, WrongSequence
from .follower import SECOND as SECOND
from .follower import Follower
from .requests import ApiError, Requests, publish, raise_for_error, status

EXPECT = "Nats-Expected-Last-Subject-Sequence"
MESSAGE_ID = "Nats-Msg-Id"

WRONG_LAST_SEQUENCE = frozenset({10071, 10164})
TOO_MANY_BATCHES = 10210
BATCH_PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds between tries to begin a batch: the server takes 50 at once."""
NO_MESSAGE = 10043
FULL = frozenset({10002, 10023, 10047, 10077})

HISTORY_MESSAGES = 256
"""Of one subject, in one answer."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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


class _Counts(msgspec.Struct):
    subjects: dict[str, int] | None = None


class _Page(msgspec.Struct):
    state: _Counts
    total: int = 0


_ack = msgspec.json.Decoder(_Ack)
_page = msgspec.json.Decoder(_Page)
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
        stored = await self._time(seq)
        return ((await self.info()).ts - stored).total_seconds()

    async def stored_at(self, seq: int) -> int:
        """When the message at `seq` was stored; see `ports.Log`."""
        return (await self._time(seq) - EPOCH) // timedelta(microseconds=1)

    async def _time(self, seq: int) -> datetime:
        message = await self._direct({"seq": seq})
        if message is None:
            raise NotFound(f"there is no event {seq} in the log")
        # Python cuts the nanoseconds off; rounded, a time could be later than the message's own.
        return datetime.fromisoformat((message.headers or {})["Nats-Time-Stamp"])

    async def seq_at(self, at: int) -> int:
        """The last message that was stored by `at`; see `ports.Log`."""
        later = EPOCH + timedelta(microseconds=at + 1)
        message = await self._direct({"start_time": later.isoformat(), "next_by_subj": ">"})
        following = _stored(message)
        return following.seq - 1 if following else await self.last_seq()

    async def first(self, subject: str) -> Stored | None:
        """The first message on `subject`; see `ports.Log`."""
        return _stored(await self._next(subject, 0))

    async def last(self, subject: str, until: int | None = None) -> Stored | None:
        """The last message on `subject`; see `ports.Log`."""
        newest = _stored(await self._direct({"last_by_subj": subject}))
        if newest is None or until is None or newest.seq <= until:
            return newest
        if until < 1:
            return None
        found, _ = await self._many({"multi_last": [subject], "up_to_seq": until})
        return max(found, key=lambda stored: stored.seq, default=None)

    async def _many(self, request: dict[str, Any]) -> tuple[list[Stored], Msg]:
        messages, end = await self._requests.request_many(
            f"$JS.API.DIRECT.GET.{self.name}", msgspec.json.encode(request)
        )
        if status(end) not in ("204", "404"):
            raise BusAway(f"the server answered {status(end)} for {request}")
        return list(filter(None, map(_stored, messages))), end

    async def latest(self, pattern: str) -> list[Stored]:
        """The last message on each subject that `pattern` stands for; the server does this for at
        most 1024 subjects at once."""
        return (await self._many({"multi_last": [pattern], "batch": 10_000}))[0]

    async def subjects(self, pattern: str) -> list[str]:
        """The subjects under `pattern` that have a message."""
        found: list[str] = []
        more = True
        while more:
            request = {"subjects_filter": pattern, "offset": len(found)}
            page = _page.decode(await self._requests.api(f"STREAM.INFO.{self.name}", request))
            found += page.state.subjects or ()
            more = bool(page.state.subjects) and len(found) < page.total
        return found

    async def history(self, subject: str, after: int = 0) -> list[Stored]:
        """The messages on `subject` after a sequence."""
        found: list[Stored] = []
        more = True
        while more:
            request = {"seq": after + 1, "next_by_subj": subject, "batch": HISTORY_MESSAGES}
            messages, end = await self._many(request)
            found += messages
            after = found[-1].seq if found else after
            more = (end.headers or {}).get("Nats-Num-Pending", "0") != "0"
        return found

    async def forget(self, seq: int) -> None:
        """Take the message at `seq` out of the stream, if it is there."""
        try:
            await self._requests.api(
                f"STREAM.MSG.DELETE.{self.name}", {"seq": seq, "no_erase": True}
            )
        except ApiError as error:
            if error.err_code != NO_MESSAGE:
                raise

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
        follower = Follower(self._requests, self.name, start, subjects)
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
