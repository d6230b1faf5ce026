"""The server of an agent's tasks: who is let in, and what is answered to whom."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ..office import Office
from ..ticket import Ticket, read_ticket
from . import artifacts, models, routes
from .refusal import Refusal
from .visit import Handler, Visit

MOST_ATTEMPTS = 256
"""Attempts whose runs are remembered. Of one that was forgotten a client goes on to log, but
cannot ask for what it logged before."""


class Reception:
    """Lets in who has a ticket, and finds the visit that belongs to it."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._key = bytes.fromhex(office.key)
        self._visits: OrderedDict[Ticket, Visit] = OrderedDict()

    def admit(self, request: Request) -> Visit:
        """The attempt that asks. Raises `Refusal`."""
        scheme, _, word = request.headers.get("authorization", "").partition(" ")
        ticket = read_ticket(word.strip(), self._key) if scheme.lower() == "bearer" else None
        if ticket is None:
            raise Refusal(
                "this port is for tasks of an evq agent, by the MLFLOW_TRACKING_TOKEN of each",
                "UNAUTHENTICATED",
                status=401,
            )
        visit = self._visits.pop(ticket, None) or Visit(self._office, ticket)
        self._visits[ticket] = visit
        if len(self._visits) > MOST_ATTEMPTS:
            _, forgotten = self._visits.popitem(last=False)
            forgotten.voice.close()
        return visit

    def answering(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """The handler as Starlette wants it; what is refused is an answer, too."""

        async def answer(request: Request) -> Response:
            try:
                found = await handler(self.admit(request), request)
            except Refusal as refusal:
                return _refused(refusal)
            except ClientDisconnect:
                return Response(status_code=400)  # nobody reads it
            return found if isinstance(found, Response) else _json(found)

        return answer


def _json(found: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(found), status, media_type="application/json")


def _refused(refusal: Refusal) -> Response:
    return _json({"error_code": refusal.code, "message": refusal.message}, refusal.status)


METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


async def unknown(visit: Visit, request: Request) -> Any:
    raise Refusal(
        f"evq serves only what a task needs to log, not {request.method} {request.url.path}; "
        "for all of MLflow set MLFLOW_TRACKING_URI to a server of your own",
        "ENDPOINT_NOT_FOUND",
        status=404,
    )


def application(office: Office) -> Starlette:
    """The server of an agent's tasks."""
    reception = Reception(office)
    known = [
        Route(path, reception.answering(handler), methods=[method])
        for (method, path), handler in (routes.ROUTES | models.ROUTES | artifacts.ROUTES).items()
    ]
    rest = Route("/{path:path}", reception.answering(unknown), methods=METHODS)
    return Starlette(routes=[*known, rest])
