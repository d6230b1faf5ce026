"""What the benchmarks share: a private server, an agent process, and how figures are printed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import msgspec

from evq.cli.stack.embedded import Port, find_server, server_argv, server_variables
from evq.core.bus.connect import Login
from evq.core.errors import Unreachable
from evq.core.listening import Address
from evq.core.sdk.client import Client
from evq.core.sdk.connect import open_client


@contextmanager
def folder() -> Iterator[Path]:
    """A scratch folder on a real disk, so that a forced write costs what it costs."""
    with tempfile.TemporaryDirectory(prefix="evq-bench-", dir=os.environ.get("EVQ_BENCH")) as name:
        yield Path(name)


@contextmanager
def server(home: Path, sync: str = "always") -> Iterator[Login]:
    """A nats-server with the repository's configuration."""
    port = Port(Address("127.0.0.1", 0))
    address = Address("127.0.0.1", port.number)
    variables = server_variables(
        address,
        name="bench",
        token="bench",
        folder=home / "nats",
        log=home / "nats.log",
        sync=sync,
    )
    argv = server_argv(find_server(None).path, None)
    process = subprocess.Popen(argv, env={**os.environ, **variables})
    try:
        yield Login(server=f"nats://{address}", token="bench")
    finally:
        process.terminate()
        process.wait()
        port.release()


@contextmanager
def agent(home: Path, login: Login, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A real agent process."""
    environment = {
        **os.environ,
        "EVQ_LOGIN": msgspec.json.encode(login).decode(),
        "EVQ_LOG_LEVEL": "WARNING",
    }
    folders = ["--state-dir", str(home / "agent"), "--cache-dir", str(home / "cache")]
    argv = [sys.executable, "-P", "-m", "evq.agent", *folders, *options]
    process = subprocess.Popen(argv, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@asynccontextmanager
async def client(login: Login) -> AsyncIterator[Client]:
    """A client, as soon as the server answers."""
    async with AsyncExitStack() as stack:
        while True:
            try:
                opened = await stack.enter_async_context(open_client(login))
                break
            except Unreachable:
                await asyncio.sleep(0.02)
        await opened.bus.prepare()
        yield opened


async def agents(opened: Client, count: int) -> None:
    """Return when so many agents are there."""
    while len(await opened.agents()) < count:
        await asyncio.sleep(0.05)


def line(what: str, figure: str, beside: str = "") -> None:
    """One row of the report."""
    print(f"  {what:<46} {figure:>16}  {beside}", flush=True)
