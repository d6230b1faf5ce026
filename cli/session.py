"""A verb's way to the server: the settings in force, a connection, and errors in our words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import cache
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from click import get_current_context

from ..core.configuration import Configuration
from ..core.errors import Denied, EvqError, SettingsError, Unreachable
from ..core.ports import BusAway
from ..core.settings import Settings
from .options import THIS_RUN
from .output import dim, note
from .settings import load

if TYPE_CHECKING:
    from ..core.bus.connect import Login
    from ..core.bus.requests import ApiError
    from ..core.past import When
    from ..core.sdk.client import Client

_T = TypeVar("_T")

NO_SUCH_STREAM = 10059
PATIENCE = 2.0


def configuration_with(**options: object) -> Configuration:
    """The configuration in force if the verb's own `options` (`None` values were not given) win."""
    given = {"server": THIS_RUN.server, "color": THIS_RUN.color}
    return load(given | options, context=THIS_RUN.context)


@cache
def configuration() -> Configuration:
    """The settings in force for this run, and where they came from."""
    found = configuration_with()
    THIS_RUN.color = found.settings.color
    if ctx := get_current_context(silent=True):
        ctx.color = THIS_RUN.colors
    return found


def settings_with(**options: object) -> Settings:
    """The settings in force if the verb's own `options` (`None` values were not given) win."""
    return configuration_with(**options).settings


def settings() -> Settings:
    """The settings in force for this run."""
    return configuration().settings


def login(known: Settings) -> Login:
    """How to reach the server that the settings name. Raises `Unreachable` if they name none."""
    from ..core.bus.connect import Login

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


def warm_up() -> None:
    """Begin to load the client, which takes 0.2 s, while something else is waited for."""
    with suppress(RuntimeError):  # no thread to be had: it is loaded when it is needed
        Thread(target=import_module, args=("evq.core.sdk.client",), daemon=True).start()


def call(
    work: Callable[[Client], Awaitable[_T]], patience: float = PATIENCE, as_of: When | None = None
) -> _T:
    """Do `work` with a client on the server that the settings name.

    `patience` is how many seconds the connection may take. With `as_of` the client finds
    everything as it was then, and ages are counted from there.
    """
    import asyncio

    return asyncio.run(_with_client(work, login(settings()), patience, as_of))


async def _with_client(
    work: Callable[[Client], Awaitable[_T]], where: Login, patience: float, as_of: When | None
) -> _T:
    from ..core.bus.connect import connect
    from ..core.bus.requests import ApiError
    from ..core.sdk.client import Client

    refused: list[Exception] = []
    async with connect(where, "evq-cli", patience) as bus:
        client = Client(bus)
        bus.on_error = refused.append
        try:
            return await work(await _look_back(client, as_of) if as_of else client)
        except BusAway as away:
            raise _away(refused, away) from away
        except ApiError as error:
            raise _api_error(error) from error


async def _look_back(client: Client, when: When) -> Client:
    from datetime import datetime

    from ..core.sdk.past import Past, find_moment

    THIS_RUN.moment = moment = await find_moment(client.bus.log, when)
    clock = datetime.fromtimestamp(moment.at / 1e6).astimezone()
    note(dim(f"as of {clock:%Y-%m-%d %H:%M:%S %z}, event {moment.seq} of the log"))
    return Past(client, moment)


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
