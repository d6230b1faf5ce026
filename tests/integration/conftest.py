"""Ground for tests of whole agents: real processes, a real server, tasks that are small scripts."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from githost import HttpHost
from remoteplace import Place
from starting import PATIENCE, Program

from evq.core import subjects, wire
from evq.core.bus.connect import Login, connect
from evq.core.events import Aborted, Claimed, Finished, Log, Metric, Progress
from evq.core.sdk.client import Client
from evq.core.sdk.snapshot import take
from evq.core.spec import Command, Spec
from evq.core.state import Task

SECRETS = {
    "EVQ_TOKEN": "secret-token",
    "NATS_URL": "nats://user:secret-password@127.0.0.1:1",
}
"""What an agent knows besides EVQ_LOGIN that no task may see."""


class AgentProcess(Program):
    """`python -m evq.agent`."""

    def __init__(
        self,
        login: Login,
        folder: Path,
        queues: tuple[str, ...],
        *options: str,
        name: str | None = "",
        before: Sequence[str] = (),
        python: str = sys.executable,
    ) -> None:
        """`name` is made up if it is empty; with None the agent finds one itself. `before` is a
        command that runs it."""
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.name = name if name != "" else "agent-" + secrets.token_hex(4)
        argv = [*before, python, "-P", "-m", "evq.agent", "--queues", ",".join(queues)]
        argv += ["--state-dir", str(folder / "state"), "--cache-dir", str(folder / "cache")]
        argv += ["--name", self.name] if self.name else []
        log = folder / f"log-{secrets.token_hex(4)}"
        more = {**SECRETS, "UV_PYTHON_DOWNLOADS": "never"}
        super().__init__([*argv, *options], login, log, more)

    async def over(self) -> int:
        """Its exit status, when it has ended."""
        return await asyncio.to_thread(self.process.wait, PATIENCE)

    def memory(self, field: str) -> int:
        """A figure of /proc/PID/status in bytes, such as VmRSS or VmHWM."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(field))
        return int(line.split()[1]) * 1024


class Gate:
    """A place where a task's shell waits until the test lets it pass."""

    def __init__(self, path: Path, until: Callable[..., Any]) -> None:
        os.mkfifo(path)
        self.wait = f"cat {path}"
        """Shell."""
        self.path = path
        self._until = until
        self._end = -1

    def _try(self) -> bool:
        try:
            self._end = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return False  # nobody reads
        return True

    async def reached(self) -> None:
        """Return when the task waits here."""
        await self._until(self._try)

    def open(self) -> None:
        """Let the task pass, after `reached`."""
        end, self._end = self._end, -1
        os.close(end)


class Queue:
    """A queue of a test's own, and what the log and the telemetry say of its tasks."""

    def __init__(self, client: Client, name: str, agent: AgentProcess | None = None) -> None:
        self.client = client
        self.name = name
        self.agent = agent

    async def enqueue(self, *argv: str, **spec: Any) -> str:
        """Enqueue a command (or `entry`) and return the task's id."""
        entry = spec.pop("entry", None) or Command(argv)
        receipt = await self.client.enqueue(
            Spec(**{"entry": entry, "name": "test", "queue": self.name, "manager": "none", **spec})
        )
        return receipt.task

    async def run(self, *argv: str, **spec: Any) -> Task:
        """Enqueue a command and return its task when it has ended."""
        return await self.ended(await self.enqueue(*argv, **spec))

    async def ended(self, task: str, times: int = 1) -> Task:
        """The task, when it has ended for the `times`-th time."""
        await self.event(task, Finished | Aborted, times)
        return await self.client.get(task)

    async def event(self, task: str, kind: Any, number: int = 1) -> Any:
        """The `number`-th event of a kind in the task's life, when it is there."""
        found = await self._collect(subjects.lifecycle(self.name, task), kind, number)
        return found[-1].event

    async def agent_event(self, agent: str, kind: Any, number: int = 1) -> Any:
        """The `number`-th event of a kind that is told of an agent."""
        return (await self._collect(subjects.agent_events(agent), kind, number))[-1].event

    async def claims(self) -> list[tuple[int, str, str]]:
        """(sequence, queue, task) of the claims in the queue so far."""
        history = await self.client.bus.log.history(subjects.lifecycle(self.name, "*"))
        return [
            (stored.seq, self.name, stored.subject.rpartition(".")[2])
            for stored in history
            if isinstance(getattr(wire.decode(stored.data), "event", None), Claimed)
        ]

    async def _collect(self, subject: str, kind: Any, count: int) -> list[Any]:
        found: list[Any] = []
        async with asyncio.timeout(PATIENCE), self.client.bus.log.follow(1, [subject]) as batches:
            async for batch in batches:
                found += [
                    envelope
                    for stored in batch
                    if isinstance(envelope := wire.decode(stored.data), wire.Envelope)
                    and isinstance(envelope.event, kind)
                ]
                if len(found) >= count:
                    return found[:count]
        raise AssertionError("following a stream has no end")

    async def envelopes(self, task: str) -> list[Any]:
        """Every event of the task's life so far, in its envelope."""
        history = await self.client.bus.log.history(subjects.lifecycle(self.name, task))
        return [wire.decode(stored.data) for stored in history]

    # --- what tasks say -----------------------------------------------------------------------

    def _telemetry(self, task: str) -> str:
        return subjects.telemetry(self.name, task, "*")

    async def records(self, task: str) -> list[Any]:
        """All that the task has said so far; of one that ended, all."""
        history = await self.client.bus.telemetry.history(self._telemetry(task))
        return [wire.decode_telemetry(stored.data) for stored in history]

    async def lines(self, task: str, letters: str = "oesa") -> list[str]:
        """The lines of its log by these streams, after a look that they are numbered in order."""
        found: list[str] = []
        following: dict[int, int] = {}
        for record in await self.records(task):
            if isinstance(record, Log):
                assert record.first == following.get(record.claim, 0)
                assert len(record.at) == len(record.stream) == len(record.text)
                following[record.claim] = record.first + len(record.text)
                pairs = zip(record.stream, record.text, strict=True)
                found += [text for letter, text in pairs if letter in letters]
        return found

    async def points(self, task: str) -> list[tuple[str, int | None, Any]]:
        """(name, step, value) of its metrics."""
        return [
            point
            for record in await self.records(task)
            if isinstance(record, Metric)
            for point in zip(record.name, record.step, record.value, strict=True)
        ]

    async def progress(self, task: str) -> list[Progress]:
        """What it said about how far it is."""
        return [record for record in await self.records(task) if isinstance(record, Progress)]

    async def line(self, task: str, begin: str) -> str:
        """The first line of its log that begins so, as soon as it is there."""
        async with asyncio.timeout(PATIENCE):
            follow = self.client.bus.telemetry.follow(1, [self._telemetry(task)])
            async with follow as batches:
                async for batch in batches:
                    for stored in batch:
                        record = wire.decode_telemetry(stored.data)
                        for text in record.text if isinstance(record, Log) else ():
                            if text.startswith(begin):
                                return text
        raise AssertionError("following a stream has no end")


def _new_name() -> str:
    return "q" + secrets.token_hex(4)


@pytest.fixture
async def client(nats_server: Any) -> AsyncIterator[Client]:
    """A client of the shared server, on which the streams are."""
    async with connect(nats_server.login, "test", patience=PATIENCE) as bus:
        await bus.prepare()
        yield Client(bus)


@pytest.fixture
def queue(client: Client) -> Queue:
    """A queue that nobody serves yet."""
    return Queue(client, _new_name())


@pytest.fixture
def other_queue(client: Client) -> Queue:
    """A second one."""
    return Queue(client, _new_name())


@pytest.fixture
def send(client: Client, tmp_path: Path) -> Any:
    """`await send({"a.py": "…"})` is the code of a repository with these files, sent."""

    async def send(files: dict[str, str]) -> Any:
        folder = tmp_path / "project"
        folder.mkdir()
        subprocess.run(["git", "init", "-q", folder], check=True)
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        with take(folder, None) as snapshot:
            for blob in snapshot.blobs:
                bundle = tmp_path / blob.name
                snapshot.write_bundle(blob, bundle)
                await client.bus.objects.put(blob.name, bundle)
        return snapshot.code

    return send


@pytest.fixture
def start_agent(nats_server: Any, tmp_path: Path) -> Iterator[Callable[..., AgentProcess]]:
    """`start_agent(queues, "--option", …)` gives a running agent; all share one state folder."""
    started: list[AgentProcess] = []

    def start(queues: list[Queue], *options: str, **more: Any) -> AgentProcess:
        names = tuple(queue.name for queue in queues)
        where = more.pop("login", nats_server.login), more.pop("folder", tmp_path)
        agent = AgentProcess(*where, names, *options, **more)
        started.append(agent)
        return agent

    yield start
    for agent in started:
        agent.close()


@pytest.fixture
async def apart(own_nats_server: Any, queue: Any) -> AsyncIterator[Any]:
    """A queue on a server that the test may kill."""
    async with connect(own_nats_server.login, "test", patience=30) as bus:
        await bus.prepare()
        yield type(queue)(Client(bus), "q")


@pytest.fixture(scope="module")
def shared_agent(
    nats_server: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[AgentProcess, str]]:
    """An agent with two slots, and the queue it serves. Its lease is so long that in no test a
    renewal comes to the rescue: what must be heard at once is heard at once, or not at all."""
    name = _new_name()
    options = ("--slots", "2", "--lease", "300", "--grace", "20")
    agent = AgentProcess(nats_server.login, tmp_path_factory.mktemp("agent"), (name,), *options)
    try:
        yield agent.ready(), name
    finally:
        agent.close()


@pytest.fixture
def served(client: Client, shared_agent: tuple[AgentProcess, str]) -> Queue:
    """The queue of the module's agent."""
    return Queue(client, shared_agent[1], shared_agent[0])


@pytest.fixture
def gates(tmp_path: Path, until: Callable[..., Any]) -> Callable[[int], list[Gate]]:
    """`gates(3)` gives three places, each for one task to wait at."""
    return lambda count: [Gate(tmp_path / f"gate-{number}", until) for number in range(count)]


@pytest.fixture
def gate(gates: Callable[[int], list[Gate]]) -> Gate:
    """A place for a task to wait."""
    return gates(1)[0]


@pytest.fixture
def plain_python() -> str:
    """A Python that knows nothing of evq: the one below the tests' virtual environment."""
    return os.path.realpath(sys.executable)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A repository of an author, and the places of an agent that fetches it."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Place(tmp_path)


@pytest.fixture
def host(place: Place) -> Iterator[HttpHost]:
    """A host that lets everybody in."""
    served = HttpHost(place.root)
    yield served
    served.close()


@pytest.fixture
def guarded(place: Place) -> Iterator[HttpHost]:
    """A host that wants a login."""
    served = HttpHost(place.root, ("user", "s3cret"))
    yield served
    served.close()


@pytest.fixture
def event_file(tmp_path: Path) -> str:
    """An event file with the point ("loss", 1, 0.5), in base64."""
    from tensorboardX import SummaryWriter

    folder = tmp_path / "written"
    with SummaryWriter(str(folder)) as writer:
        writer.add_scalar("loss", 0.5, 1)
    (file,) = folder.iterdir()
    return base64.b64encode(file.read_bytes()).decode()
