"""An attempt, as one who calls: what it may see, and where its words and files go."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from ..office import Office
from ..ticket import Ticket
from .bodies import Batch
from .refusal import Refusal
from .runs import Run, Runs
from .telling import Voice

if TYPE_CHECKING:
    from .models import Model

LARGEST_BODY = 4 * 2**20
"""Bytes; what MLflow's client logs at once is a tenth of it."""


class Visit:
    """An attempt, as one who calls."""

    def __init__(self, office: Office, ticket: Ticket) -> None:
        self.runs = Runs(ticket)
        self.voice = Voice(Path(office.sockets) / ticket.slot, ticket.claim)
        self.models: dict[str, Model] = {}
        self._work = Path(office.work)
        self._ticket = ticket

    @property
    def folder(self) -> Path:
        """The attempt's folder: its own, or that of its slot if it brought no code."""
        own = self._work / self._ticket.run
        return own if own.is_dir() else self._work / f"slot-{self._ticket.slot}"

    def shown(self, run: Run) -> dict[str, Any]:
        """A run as MLflow has it."""
        return {"info": run.info(), "data": run.data()}

    async def log(self, run: Run, batch: Batch) -> None:
        """Tell the agent, then remember."""
        await self.voice.tell(self.voice.words(run, batch))
        run.keep(batch)


Handler = Callable[[Visit, Request], Awaitable[Any]]


async def body(request: Request) -> bytes:
    """All that was sent. Raises `Refusal` if it is too much."""
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > LARGEST_BODY:
            raise Refusal(f"a request may have {LARGEST_BODY} bytes at most", status=413)
    return bytes(data)
