"""From the settings in force to a client, for the command line and for programs alike."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..bus import connect as bus
from ..bus.connect import Login
from ..bus.requests import ApiError
from ..errors import Denied, EvqError, SettingsError, Unreachable
from ..ports import AgentSilent, BusAway
from ..settings import Settings
from .client import Client
from .settings import load

NO_SUCH_STREAM = 10059
PATIENCE = 5.0


@asynccontextmanager
async def connect(
    server: str | None = None,
    *,
    context: str | None = None,
    token: str | None = None,
    creds: str | None = None,
    store: str | None = None,
    patience: float = PATIENCE,
) -> AsyncIterator[Client]:
    """A client for as long as the block runs, on the server that the command line would use.

    What is given wins over files, NATS contexts and the environment; so a task that was given a
    way to the server finds it by itself. `context` names a NATS context, `store` is the folder
    of an `evq up`, and `patience` is how many seconds the connection may take.

    Raises `SettingsError`, `Unreachable` or `Denied`.
    """
    options = {"server": server, "token": token, "creds": creds, "store": store}
    known = load(options, context=context).settings
    async with open_client(login_of(known), patience=patience) as client:
        client.enqueuer.queue = known.queue
        yield client


@asynccontextmanager
async def open_client(
    login: Login, name: str = "evq", patience: float = PATIENCE
) -> AsyncIterator[Client]:
    """A client on the server that `login` names; what fails in the block is told in our words.

    Raises `Unreachable` or `Denied`.
    """
    refused: list[Exception] = []
    async with bus.connect(login, name, patience) as ports:
        ports.on_error = refused.append
        try:
            yield Client(ports)
        except BusAway as away:
            raise _away(refused, away) from away
        except ApiError as error:
            raise _api_error(error) from error


def login_of(known: Settings) -> Login:
    """How to reach the server that the settings name. Raises `Unreachable` if they name none."""
    if known.server is None and os.environ.get("EVQ_TASK_ID"):
        raise Unreachable(
            "this task knows no NATS server",
            why="it did not ask for a login to the server",
            fix="evq enqueue --client …",
        )
    if known.server is None:
        raise Unreachable(
            "no NATS server is known",
            why=f"no --server, no NATS_URL, and nothing is up in {known.store}",
            fix="evq up -d     starts one on this machine\n"
            "evq --server nats://HOST:4222 …     uses one that runs elsewhere",
        )
    if known.domain:
        raise SettingsError(
            "evq cannot use a JetStream domain",
            why=f"domain is set to {known.domain!r}",
            fix="name a server whose JetStream is its own",
        )
    return Login(
        server=known.server,
        user=known.user,
        password=known.password,
        token=known.token,
        creds=known.creds,
        nkey=known.nkey,
        ca=known.ca,
        cert=known.cert,
        key=known.key,
        inbox_prefix=known.inbox_prefix,
    )


def _away(refused: list[Exception], away: BusAway) -> EvqError:
    # A refused permission reaches us beside the request, which just gets no answer.
    for error in refused:
        if "permissions violation" in str(error).lower():
            return Denied(
                "the NATS server refuses this request",
                why=str(error),
                fix="ask whoever runs the server for that permission; evq config shows your login",
            )
    if isinstance(away, AgentSilent):
        return Unreachable(
            str(away),
            why="it is cut off, overloaded, or too old to know tunnels",
            fix="evq workers shows the agents that are there",
        )
    return Unreachable(
        "the NATS server stopped answering",
        why=str(away),
        fix="evq status, then try again",
    )


def _api_error(error: ApiError) -> EvqError:
    if error.err_code == NO_SUCH_STREAM:
        return Unreachable(
            "this NATS server has not been used by evq yet",
            why=str(error),
            fix="evq enqueue SCRIPT makes what is missing, and so does evq agent",
        )
    return EvqError("the NATS server refused a request", why=str(error), fix="evq doctor")
