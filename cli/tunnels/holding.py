"""The near end of a tunnel while it is held, by `evq tunnel` and by `evq session`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click

from ...core.errors import UsageError
from .. import output

if TYPE_CHECKING:
    from ...core.sdk.client import Client
    from ...core.sdk.tunnels.tunnel import Tunnel

Listen = tuple[str, int]

LOOPBACK = "127.0.0.1"


def _listen(ctx: click.Context, param: click.Parameter, value: str | None) -> Listen:
    """Host and port in `HOST:PORT`, `HOST` or `PORT`. Raises `UsageError`."""
    if not value:
        return LOOPBACK, 0
    host, _, port = value.rpartition(":") if ":" in value else ("", "", value)
    if not port.isdigit():
        host, port = value, "0"
    if int(port) > 65535:
        raise UsageError(f"{port} is no port", why="the highest is 65535", fix="--listen 8080")
    return host.strip("[]") or LOOPBACK, int(port)


listen_option: Callable[[Any], Any] = click.option(
    "--listen",
    metavar="HOST:PORT",
    callback=_listen,
    help="Where to listen here.  [127.0.0.1 and a free port]",
)
open_option: Callable[[Any], Any] = click.option(
    "--open", "browse", is_flag=True, help="Open the link in a browser."
)


@asynccontextmanager
async def held(client: Client, task: str, port: int, listen: Listen) -> AsyncIterator[Tunnel]:
    """A tunnel for as long as the block runs."""
    host, number = listen
    if not _is_loopback(host):
        output.warn(f"whoever reaches {host} can use this tunnel")
    async with await client.tunnel(task, port, host=host, listen=number) as there:
        yield there


def tell_trouble(tunnel: Tunnel) -> None:
    """From now on tell what goes wrong with connections, the same only once in a row."""
    told = ""

    def tell(words: str) -> None:
        nonlocal told
        if words != told:
            output.warn(words)
        told = words

    tunnel.notice = tell


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def look(url: str) -> None:
    """Open a browser, or say that there is none."""
    if click.launch(url) != 0:
        output.warn("no browser could be opened here")
