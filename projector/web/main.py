"""`evq ui`: serve the dashboard until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
from collections.abc import Sequence

import msgspec
import uvicorn

from ...core.bus.connect import Login
from ...core.errors import EvqError, SettingsError, report
from ...core.sdk.client import open_client
from ...core.sdk.live import live_fleet
from ...core.sdk.ready import tell_ready
from .app import make_app
from .source import Source


class _Server(uvicorn.Server):
    """Says when it answers."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            where = f"http://{self.config.host}:{port}/"
            print(f"the dashboard is at {where}", file=sys.stderr, flush=True)
            tell_ready()


async def run(login: Login, host: str, port: int) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status. Raises whatever `connect` raises."""
    async with open_client(login, "evq-ui") as client, live_fleet(client) as fleet:
        server = _Server(
            uvicorn.Config(
                make_app(Source(client, fleet)),
                host=host,
                port=port,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=1,
            )
        )
        await server.serve()
        return 0 if server.started else 1


def main(arguments: Sequence[str]) -> int:
    """Run with `--listen HOST:PORT`, the login being the JSON in EVQ_LOGIN; the exit status."""
    parser = argparse.ArgumentParser(prog="evq.projector.web")
    parser.add_argument("--listen", default="127.0.0.1:4280")
    parser.add_argument("--store", default=".")
    options = parser.parse_args(arguments)
    host, _, port = options.listen.rpartition(":")
    try:
        return asyncio.run(run(_login(), host, int(port)))
    except EvqError as error:
        print(report(error), file=sys.stderr, flush=True)
        return error.exit_code


def _login() -> Login:
    try:
        # Taken out of the environment, so that nothing we start can inherit it.
        return msgspec.json.decode(os.environ.pop("EVQ_LOGIN", "{}"), type=Login)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SettingsError(
            "EVQ_LOGIN cannot be read", why=str(error), fix="start it by: evq ui"
        ) from error
