"""Logging in at a server that is not ours: by NKEY, and what is said when it refuses."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import nkeys
import pytest

from evq.cli.stack import embedded
from evq.core.bus.connect import Login, connect
from evq.core.errors import Denied, Unreachable

Until = Callable[..., Awaitable[Any]]


class Foreign:
    """A nats-server with a user who logs in by NKEY."""

    def __init__(self, folder: Path) -> None:
        seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
        self.seed = folder / "seed"
        self.seed.write_bytes(seed)
        public = nkeys.from_seed(seed).public_key.decode()
        self._port = embedded.Port(embedded.Address("127.0.0.1", 0))
        self.url = f"nats://127.0.0.1:{self._port.number}"
        config = folder / "foreign.conf"
        config.write_text(
            f"listen: 127.0.0.1:{self._port.number}\n"
            f'jetstream {{ store_dir: "{folder / "store"}" }}\n'
            f"authorization {{ users: [ {{ nkey: {public} }} ] }}\n"
        )
        argv = (str(embedded.find_server(None).path), "-c", str(config))
        self._process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._port.release()


@pytest.fixture
def foreign(tmp_path: Path) -> Iterator[Foreign]:
    server = Foreign(tmp_path)
    yield server
    server.close()


async def test_an_nkey_opens_the_door(foreign: Foreign, until: Until) -> None:
    async def look() -> bool:
        try:
            async with connect(Login(server=foreign.url, nkey=str(foreign.seed)), "test") as bus:
                await bus.prepare()
                return await bus.log.last_seq() == 0
        except Unreachable:
            return False  # it is still starting

    await until(look)


async def test_whoever_brings_nothing_is_told_so(foreign: Foreign, until: Until) -> None:
    async def refused() -> Denied | None:
        try:
            async with connect(Login(server=foreign.url), "test"):
                raise AssertionError("it let us in")
        except Denied as error:
            return error
        except Unreachable:
            return None

    error = await until(refused)
    assert "does not let us in" in error.what and "evq config" in error.fix
