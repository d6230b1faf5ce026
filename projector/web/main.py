"""`evq ui`: serve the dashboard until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from ...core.bus.connect import Login, read_login
from ...core.errors import EvqError, report
from ...core.listening import DASHBOARD_PORT, Address, read_address
from ...core.sdk.connect import open_client
from ...core.sdk.live import live_fleet
from ...core.sdk.ready import tell_ready
from ...core.sdk.viewers import FOLDER, Viewers
from .listen import Door, open_door


class _Server(uvicorn.Server):
    """Says when it answers."""

    def __init__(self, config: uvicorn.Config, link: str) -> None:
        super().__init__(config)
        self._link = link

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            gc.collect()
            gc.freeze()  # what is there now stays; nobody has to walk over it again
            print(f"the dashboard is at {self._link}", file=sys.stderr, flush=True)
            tell_ready()


async def run(login: Login, store: Path, door: Door) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status. Raises whatever `connect` raises.

    In the folder `store` it keeps who may look.
    """
    # NiceGUI asks for it when it is loaded; by itself it would write where the user happens to be.
    os.environ["NICEGUI_STORAGE_PATH"] = str(store / FOLDER / "browsers")
    from .app import make_app
    from .source import Source

    viewers = Viewers(store)
    async with open_client(login, "evq-ui") as client, live_fleet(client) as fleet:
        config = uvicorn.Config(
            make_app(Source(client, fleet, viewers), door.origins),
            log_level="warning",
            access_log=False,
            server_header=False,
            ssl_certfile=door.cert,
            ssl_keyfile=door.key,
            timeout_graceful_shutdown=1,
        )
        viewers.remember(door.url, door.socket.getsockname()[1])
        server = _Server(config, f"{door.url}/?token={viewers.local_token()}")
        await server.serve([door.socket])
        return 0 if server.started else 1


def main(arguments: Sequence[str]) -> int:
    """Run with `--listen HOST:PORT`, the login being the JSON in EVQ_LOGIN; the exit status."""
    parser = argparse.ArgumentParser(prog="evq.projector.web")
    parser.add_argument("--listen", default=str(Address("127.0.0.1", DASHBOARD_PORT)))
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--tls-cert")
    parser.add_argument("--tls-key")
    parser.add_argument("--public-url", action="append", default=[])
    options = parser.parse_args(arguments)
    try:
        door = open_door(
            read_address(options.listen, DASHBOARD_PORT),
            cert=options.tls_cert,
            key=options.tls_key,
            public=options.public_url,
            named=bool(Viewers(options.store).named()),
        )
        # Taken out of the environment, so that nothing we start can inherit it.
        login = read_login(os.environ.pop("EVQ_LOGIN", "{}"), "evq ui")
        return asyncio.run(run(login, options.store, door))
    except EvqError as error:
        print(report(error), file=sys.stderr, flush=True)
        return error.exit_code
