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
from ..core.sdk.settings import load
from ..core.settings import Settings
from .options import THIS_RUN
from .output import dim, note

if TYPE_CHECKING:
    from ..core.bus.connect import Login
    from ..core.past import When
    from ..core.sdk.client import Client

_T = TypeVar("_T")

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
    from ..core.sdk.connect import login_of

    return login_of(known)


def warm_up() -> None:
    """Begin to load the client, which takes 0.2 s, while something else is waited for."""
    with suppress(RuntimeError):  # no thread to be had: it is loaded when it is needed
        Thread(target=import_module, args=("evq.core.sdk.connect",), daemon=True).start()


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
    from ..core.sdk.connect import open_client

    async with open_client(where, "evq-cli", patience) as client:
        return await work(await _look_back(client, as_of) if as_of else client)


async def _look_back(client: Client, when: When) -> Client:
    from datetime import datetime

    from ..core.sdk.past import Past, find_moment

    THIS_RUN.moment = moment = await find_moment(client.bus.log, when)
    clock = datetime.fromtimestamp(moment.at / 1e6).astimezone()
    note(dim(f"as of {clock:%Y-%m-%d %H:%M:%S %z}, event {moment.seq} of the log"))
    return Past(client, moment)
