"""A verb's way to the server: the settings in force, a connection, and errors in our words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..core.bus.connect import Login
from ..core.bus.requests import ApiError
from ..core.errors import Denied, EvqError, SettingsError, Unreachable
from ..core.ports import BusAway
from ..core.sdk.client import Client, open_client
from ..core.settings import Settings
from .options import THIS_RUN
from .settings import load

_T = TypeVar("_T")

NO_SUCH_STREAM = 10059


def settings(**options: object) -> Settings:
    """The settings in force, the global options and `options` included."""
    given = {"server": THIS_RUN.server, "color": THIS_RUN.color, **options}
    return load(given, context=THIS_RUN.context).settings


def login(known: Settings) -> Login:
    """How to reach the server that the settings name. Raises `Unreachable` if they name none."""
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


def call(work: Callable[[Client], Awaitable[_T]]) -> _T:
    """Do `work` with a client on the server that the settings name."""
    return asyncio.run(_with_client(work, login(settings())))


async def _with_client(work: Callable[[Client], Awaitable[_T]], where: Login) -> _T:
    refused: list[Exception] = []
    async with open_client(where, "evq-cli") as client:
        client.bus.on_error = refused.append
        try:
            return await work(client)
        except BusAway as away:
            raise _away(refused, away) from away
        except ApiError as error:
            raise _api_error(error) from error


def _away(refused: list[Exception], away: BusAway) -> EvqError:
    # A refused permission reaches us beside the request, which just gets no answer.
    for error in refused:
        if "permissions violation" in str(error).lower():
            return Denied(
                "the NATS server refuses this request",
                why=str(error),
                fix="ask whoever runs the server for that permission; evq config shows your login",
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
