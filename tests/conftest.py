"""What tests share: a real nats-server, a clean bus on it, and the one way to wait."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
import psutil
import pytest

# These modules are shared by tests and are no tests themselves.
sys.path.insert(0, str(Path(__file__).parent))

import waiting
from waiting import LOOK_EVERY, PATIENCE
from wire import Wire

from evq.cli.stack import embedded
from evq.core.bus.connect import Bus, Login, connect
from evq.core.bus.requests import ApiError

# A job in a shell's background ignores ^C, and so would every program that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is, and nothing of the code. What is tried is
# the same in each run, so that a test fails by a change of the code and not by a day's luck;
# `EVQ_TEST_CHANCE` lets it be something else each time.
hypothesis.settings.register_profile(
    "house", deadline=None, derandomize="EVQ_TEST_CHANCE" not in os.environ
)
hypothesis.settings.load_profile("house")

NO_SUCH_STREAM = 10059
STREAMS = ("EVQ", "EVQTEL", "EVQSAM", "KV_evq-agents", "KV_evq-queues", "OBJ_evq-code")
STREAMS += ("OBJ_evq-artifacts",)


@pytest.fixture
def until() -> Callable[..., Awaitable[Any]]:
    """`await until(condition)` gives the first true value of `condition()`."""
    return waiting.until


class NatsServer:
    """A nats-server with the house's nats.conf, on a port of its own that outlives restarts."""

    def __init__(self, folder: Path, sync: float | str = 60.0, host: str = "127.0.0.1") -> None:
        """`sync` is after how many seconds writes are forced to the disk, or `always`.

        A test kills the server, never the kernel: what was written stays without a sync.
        """
        self.folder = folder
        self._sync = sync
        self._host = host
        self.store = folder / "store"
        self.log = folder / "log"
        self._port = embedded.Port(embedded.Address("127.0.0.1", 0))
        self.port = self._port.number
        self.url = f"nats://127.0.0.1:{self.port}"
        self.login = Login(server=self.url, token="test")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and return when it answers."""
        variables = embedded.server_variables(
            embedded.Address(self._host, self.port),
            name="evq-test",
            token="test",
            folder=self.store,
            log=self.log,
            sync=self._sync,
        )
        argv = embedded.server_argv(embedded.find_server(None).path, None)
        self._process = subprocess.Popen(argv, env={**os.environ, **variables})
        end = time.monotonic() + PATIENCE
        while not self._answers():
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            select.select([], [], [], LOOK_EVERY)

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)) as door:
            return door.recv(4) == b"INFO"
        return False

    def kill(self) -> None:
        """kill -9, and wait for its end."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """kill -9, and start on the same store and port."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Stop it in its tracks: connections stand, and nobody answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.send_signal(signal.SIGCONT)
            process.wait(PATIENCE)

    def close(self) -> None:
        self._end(signal.SIGTERM)
        self._port.release()


@pytest.fixture(scope="session", autouse=True)
def no_process_left() -> Iterator[None]:
    """At the very end nobody whom the tests started may be there."""
    yield
    _, left = psutil.wait_procs(psutil.Process().children(recursive=True), timeout=PATIENCE)
    assert not left, left


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """The server that all tests of this process share; they leave it running."""
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    yield server
    server.close()


@pytest.fixture
def make_server() -> Iterator[Callable[..., NatsServer]]:
    """`make_server(folder, sync="always")` starts a server of the test's own."""
    servers: list[NatsServer] = []

    def make(folder: Path, **options: Any) -> NatsServer:
        servers.append(NatsServer(folder, **options))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def own_nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A server for one test, which may kill it."""
    folder = tmp_path / "nats"
    folder.mkdir()
    server = NatsServer(folder)
    yield server
    server.close()


@pytest.fixture
async def wire(nats_server: NatsServer) -> AsyncIterator[tuple[Wire, Login]]:
    """A wire to the shared server that can be cut, and the login for its near end."""
    wire = Wire(nats_server.port)
    url = await wire.open()
    yield wire, msgspec.structs.replace(nats_server.login, server=url)
    await wire.close()


@pytest.fixture
async def jetstream_bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    """A connected bus on the shared server, whose streams are new and empty."""
    async with connect(nats_server.login, "test", patience=PATIENCE) as bus:
        for stream in STREAMS:
            try:
                await bus.requests.api(f"STREAM.DELETE.{stream}", timeout=PATIENCE)
            except ApiError as error:
                assert error.err_code == NO_SUCH_STREAM, error
        await bus.prepare()
        yield bus


@pytest.fixture
def bus(jetstream_bus: Bus) -> Bus:
    """The bus that a test uses; the contract's cases have a second kind of it."""
    return jetstream_bus
