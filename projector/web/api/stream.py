"""The log itself, live: server-sent events that a client resumes where it was cut off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from ....core.events import Envelope
from ....core.ports import Stored
from ....core.wire import decode
from ..source import Source


def stream(source: Source) -> APIRouter:
    """The route that follows the log."""
    router = APIRouter(tags=["events"])

    @router.get("/events/stream", response_class=StreamingResponse)
    async def events(
        request: Request,
        after: Annotated[int | None, Query(ge=0, description="From behind this sequence.")] = None,
        last_event_id: Annotated[int | None, Header(description="As `after`; it wins.")] = None,
    ) -> StreamingResponse:
        """Every event as it happens, from behind a sequence on, without a gap; from now on if none
        is given. Each has its sequence as its id, so that an EventSource resumes by itself."""
        wished = last_event_id if last_event_id is not None else after
        seq = await source.client.bus.log.last_seq() if wished is None else wished
        return StreamingResponse(
            _events(source, request, seq + 1),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    return router


async def _events(source: Source, request: Request, start: int) -> AsyncIterator[bytes]:
    yield b": the log of evq\n\n"
    async with source.client.bus.log.follow(start) as batches:
        async for batch in batches:
            if source.viewers.by_fingerprint(request.state.fingerprint) is None:
                return  # whose token is void by now hears no more
            yield b"".join(map(_event, batch))


def _event(stored: Stored) -> bytes:
    message = decode(stored.data)
    kind = message.event.__struct_config__.tag if isinstance(message, Envelope) else "unknown"
    data = {
        "seq": stored.seq,
        "subject": stored.subject,
        "event": message if isinstance(message, Envelope) else None,
    }
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (
        stored.seq,
        str(kind).encode(),
        msgspec.json.encode(data),
    )
