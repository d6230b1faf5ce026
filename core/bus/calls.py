"""Short words between processes over core NATS: lost without harm, answered in parts.

An answer is a row of requests from the one who serves to the inbox of the one who asked. Each
part is sent when the one before was taken, so that a slow reader slows the maker and fills no
buffer. The last part carries the header `Evq-End`, an error `Evq-Error`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress

import msgspec
from nats.aio.msg import Msg

from .. import errors
from ..errors import EvqError, ProjectorAway
from ..ports import BusAway
from .requests import Requests, publish, status

log = logging.getLogger(__name__)

END = "Evq-End"
ERROR = "Evq-Error"
PART_TAKEN_SECONDS = 30.0
GONE = b"gone"
"""The answer to a part whose taker wants no more."""

Answer = Callable[[bytes], AsyncIterator[bytes]]


class _ErrorWords(msgspec.Struct):
    kind: str
    what: str
    why: str = ""
    fix: str = ""


class NatsCalls:
    """Commands and questions; see `ports.Calls`."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._client = requests.client

    async def tell(self, subject: str, data: bytes = b"") -> None:
        await publish(self._client, subject, data)

    def inbox(self) -> str:
        return self._client.new_inbox()

    @asynccontextmanager
    async def listen(self, subject: str) -> AsyncIterator[AsyncIterator[bytes]]:
        subscription = await self._client.subscribe(subject)
        await self._settle()

        async def words() -> AsyncIterator[bytes]:
            async for message in subscription.messages:
                yield message.data

        try:
            yield words()
        finally:
            await subscription.unsubscribe()

    async def _settle(self) -> None:
        """Return when the server knows what we subscribe to; a new connection brings it along."""
        with suppress(BusAway):
            await self._requests.settle()

    async def ask(self, subject: str, data: bytes, timeout: float) -> AsyncGenerator[bytes, None]:
        arrived: asyncio.Queue[Msg] = asyncio.Queue()
        inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(inbox, cb=arrived.put)
        try:
            await publish(self._client, subject, data, inbox)
            while True:
                try:
                    async with asyncio.timeout(timeout):
                        message = await arrived.get()
                except TimeoutError as error:
                    raise ProjectorAway(
                        f"no answer on {subject} in {timeout:g} s",
                        why="the projector is busy, stopped or cut off",
                        fix="evq status",
                    ) from error
                headers = message.headers or {}
                if status(message) == "503":
                    raise ProjectorAway(
                        "no projector answers questions",
                        why=f"nobody listens on {subject}",
                        fix="evq up, or evq projector beside a server of your own",
                    )
                if ERROR in headers:
                    raise _revive(headers[ERROR])
                if END in headers:
                    return
                wanted = False
                try:
                    yield message.data
                    wanted = True
                finally:
                    await publish(self._client, message.reply, b"" if wanted else GONE)
        finally:
            await subscription.unsubscribe()

    @asynccontextmanager
    async def serve(self, subject: str, answer: Answer) -> AsyncIterator[None]:
        tasks: set[asyncio.Task[None]] = set()

        async def asked(message: Msg) -> None:
            task = asyncio.ensure_future(self._reply(message, answer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        subscription = await self._client.subscribe(subject, queue="q", cb=asked)
        await self._settle()
        try:
            yield
        finally:
            await subscription.unsubscribe()
            await self._settle()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _reply(self, question: Msg, answer: Answer) -> None:
        to = question.reply
        headers = {END: "1"}
        try:
            async with aclosing(answer(question.data)) as parts:  # type: ignore[type-var]
                async for part in parts:
                    took = await self._requests.request(to, part, timeout=PART_TAKEN_SECONDS)
                    if took.data == GONE:
                        return
        except BusAway:
            return  # whoever asked has gone
        except EvqError as error:
            headers = {ERROR: _words(error)}
        except Exception as error:
            # Silence would look as if nobody were there.
            log.exception("no answer to a question on %s", question.subject)
            headers = {ERROR: _words(mistake(error))}
        try:
            await publish(self._client, to, b"", headers=headers)
        except BusAway:
            return


def mistake(error: Exception) -> EvqError:
    """What to tell the one who asked when the one who serves made a mistake."""
    return EvqError(
        "the question could not be answered",
        why=f"{type(error).__name__}: {error}",
        fix="this is a mistake in evq; the log of the process that answers says where",
    )


def _words(error: EvqError) -> str:
    words = _ErrorWords(type(error).__name__, error.what, error.why, error.fix)
    return msgspec.json.encode(words).decode()


def _revive(text: str) -> EvqError:
    """The error that the other side raised."""
    words = msgspec.json.decode(text, type=_ErrorWords)
    kind = getattr(errors, words.kind, EvqError)
    if not (isinstance(kind, type) and issubclass(kind, EvqError)):
        kind = EvqError
    return kind(words.what, why=words.why, fix=words.fix)
