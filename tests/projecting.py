"""A projector process on a store of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from waiting import until

from evq.core.bus.connect import Login
from evq.core.errors import Conflict
from evq.core.questions import Named
from evq.core.sdk.client import Client
from evq.projector.store import Database, database_file

READY = "the projector answers"
POSITIONS = ("lifecycle_seq", "telemetry_seq", "samples_seq")


async def caught_up(client: Client) -> None:
    """Return when the projector has read all that the streams hold now. A question alone waits for
    that, too, but for two seconds at most."""
    bus = client.bus
    ends = [await stream.last_seq() for stream in (bus.log, bus.telemetry, bus.samples)]

    async def so() -> bool:
        try:
            (row,) = [row async for row in client.rows(Named("status"))]
        except Conflict:  # its database is being opened again
            return False
        return all(row[name] >= end for name, end in zip(POSITIONS, ends, strict=True))

    await until(so)


class Projector:
    """`python -m evq.projector` on a store of its own."""

    def __init__(self, login: Login, store: Path, until: Callable[..., Any]) -> None:
        self.store = store
        self._said = store / "said"
        self._env = {**os.environ, "EVQ_LOGIN": msgspec.json.encode(login).decode()}
        self._until = until
        self.process: subprocess.Popen[bytes] | None = None
        store.mkdir()

    @property
    def said(self) -> str:
        return self._said.read_text("utf-8")

    def _popen(self, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "evq.projector", "--store", str(self.store)]
        with self._said.open("wb") as said:
            return subprocess.Popen([*command, *options], env=self._env, stderr=said)

    async def start(self) -> None:
        self.process = process = self._popen()
        await self._until(lambda: READY in self.said or process.poll() is not None)
        assert process.poll() is None, self.said

    async def run(self, *options: str) -> int:
        """Run one that ends by itself; its status."""
        process = self._popen(*options)
        try:
            return await asyncio.to_thread(process.wait, 60)
        finally:
            process.kill()
            process.wait()

    def end(self, how: signal.Signals) -> int:
        process, self.process = self.process, None
        assert process is not None
        process.send_signal(how)
        return process.wait(30)

    def database(self) -> Database:
        return Database(database_file(self.store))
