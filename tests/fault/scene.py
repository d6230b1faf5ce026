"""The stage of a fault test: a server, agents as real processes, tasks that witness what happens.

    async with Scene(server, folder) as scene:
        agent = await scene.agent("one")
        task = await scene.enqueue(scene.gate("go"))
        await scene.event(task, Started)
        agent.kill()
        …
        await scene.verdict()

Nobody sleeps here: `event` waits for the log, `steps` for what a task has written.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
import oracle
import psutil
from processes import AgentProcess, lives
from waiting import PATIENCE, until

from evq.core import wire
from evq.core.bus.connect import Login, connect
from evq.core.bus.requests import Requests
from evq.core.events import (
    Aborted,
    Again,
    Dequeued,
    Enqueued,
    Envelope,
    Finished,
    Lifecycle,
    Log,
)
from evq.core.ports import Stored
from evq.core.sdk.client import Client
from evq.core.spec import Command, Spec
from evq.core.subjects import LIFECYCLE_STREAM, TELEMETRY_STREAM, Level

T = TypeVar("T")

ACK_WAIT = 2.0
"""Seconds after which an unmentioned hint comes again: less than evq's own, for quick tests."""

LEASE = 4.0
"""Seconds; an agent, or its supervisors, may stand still for half of it and lose nothing."""

WITNESS = Path(__file__).parent / "witness.py"


class Server(Protocol):
    """A nats-server that a test may mistreat; see tests/conftest.py."""

    login: Login

    @property
    def pid(self) -> int: ...
    def start(self) -> None: ...
    def kill(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


async def _write_telemetry_through(requests: Requests) -> None:
    """Let what the server has confirmed outlive its death, in the stream of telemetry, too.

    As evq makes it, the last milliseconds may be lost, and an agent that lost them looks the same.
    """
    info = msgspec.json.decode(await requests.api(f"STREAM.INFO.{TELEMETRY_STREAM}"))
    await requests.api(f"STREAM.DELETE.{TELEMETRY_STREAM}")
    config = info["config"] | {"persist_mode": "default"}
    await requests.api(f"STREAM.CREATE.{TELEMETRY_STREAM}", config)


class Scene:
    """One server, some agents, a client, and the log as it grows."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.truth = folder / "truth"
        self.agents: list[AgentProcess] = []
        self.acked: list[tuple[str, int]] = []
        self._rows: list[tuple[Stored, Envelope]] = []
        self._news = asyncio.Event()
        self._stack = AsyncExitStack()

    # --- life ---------------------------------------------------------------------------------

    async def __aenter__(self) -> Scene:
        self.truth.mkdir(parents=True)
        bus = await self._stack.enter_async_context(connect(self.server.login, "scene", PATIENCE))
        await bus.prepare()
        await _write_telemetry_through(bus.requests)
        self.client = Client(bus)
        await self.queue("q")
        following = asyncio.ensure_future(self._follow())
        self._stack.callback(following.cancel)
        return self

    async def __aexit__(self, *_: object) -> None:
        for agent in self.agents:
            agent.kill()
        try:
            await until(lambda: all(agent.ended() for agent in self.agents), "processes gone")
        finally:
            for agent in self.agents:
                for process in filter(lives, agent.family):
                    process.kill()
            await self._stack.aclose()

    async def queue(self, name: str, express: bool = False) -> Level:
        """Make a queue, or its express lane, whose unmentioned hints come again soon."""
        level = Level(name, 5, express=express)
        await self.client.bus.hints.ensure(level)
        requests = self.client.bus.requests
        where = f"{LIFECYCLE_STREAM}.{level.consumer}"
        info = msgspec.json.decode(await requests.api(f"CONSUMER.INFO.{where}"))
        config = info["config"] | {"ack_wait": int(ACK_WAIT * 1e9)}
        change = {"stream_name": LIFECYCLE_STREAM, "config": config, "action": "update"}
        await requests.api(f"CONSUMER.CREATE.{where}.{level.filter}", change)
        return level

    async def agent(self, name: str, *options: str, url: str | None = None) -> AgentProcess:
        """Start an agent and return when it is listed."""
        agent = self.start_agent(name, *options, url=url)
        up = f'"pid":{agent.process.pid},'.encode()
        await self._somewhere(lambda stored: b'"agent_up"' in stored.data and up in stored.data)
        agent.look()
        return agent

    def start_agent(self, name: str, *options: str, url: str | None = None) -> AgentProcess:
        """Start an agent."""
        login = self.server.login
        login = msgspec.structs.replace(login, server=url or login.server)
        argv = [sys.executable, "-P", "-m", "evq.agent", "--queues", "q", "--name", name]
        argv += ["--state-dir", str(self.folder / "state"), "--cache-dir", str(self.folder / "c")]
        if "--lease" not in options:
            argv += ["--lease", f"{LEASE:g}"]
        environment = {**os.environ, "EVQ_LOGIN": msgspec.json.encode(login).decode()}
        with (self.folder / f"{name}.agent-log").open("ab") as log:
            process = subprocess.Popen([*argv, *options], env=environment, stderr=log)
        agent = AgentProcess(name, process)
        self.agents.append(agent)
        return agent

    async def restart_server(self) -> None:
        """Kill the server, start it, and return when we ourselves are connected again."""
        standing = self.client.bus.standing
        self.server.kill()
        await until(lambda: not standing.is_set(), "the server away")
        self.server.start()
        async with asyncio.timeout(PATIENCE):
            await standing.wait()

    # --- tasks --------------------------------------------------------------------------------

    def gate(self, name: str) -> Path:
        """A file that a task can wait for; `touch` it to let the task end."""
        return self.folder / f"gate-{name}"

    async def enqueue(self, *words: str, **settings: Any) -> str:
        """Enqueue a witness with these words; returns the task's id."""
        argv = (sys.executable, "-S", str(WITNESS), str(self.truth), *words)
        asked = {"queue": "q", **settings}
        spec = Spec(entry=Command(argv), name="witness", manager="none", **asked)
        receipt = await self.client.enqueue(spec)
        self.acked.append((receipt.task, receipt.seq))
        return receipt.task

    def steps(self, task: str) -> list[str]:
        """What the task did, as `<attempt> <word>`."""
        path = self.truth / f"{task}.steps"
        return path.read_text().splitlines() if path.exists() else []

    @staticmethod
    def clock() -> float:
        """Seconds since 1970, for figures that are printed and not judged."""
        return time.time()

    @staticmethod
    async def passes(seconds: float) -> None:
        """Let a time pass that belongs to the fault itself, such as an outage's length."""
        await asyncio.sleep(seconds)

    async def frozen(self, pid: int) -> None:
        """Return when a process has been stopped in its tracks."""
        await until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, f"{pid} frozen")

    async def ends(self, pid: int) -> None:
        """Return when a process is no more; whether somebody has reaped it does not matter."""

        def gone() -> bool:
            try:
                return not lives(psutil.Process(pid))
            except psutil.NoSuchProcess:
                return True

        await until(gone, f"{pid} gone")

    async def runs(self, task: str, attempt: int = 1) -> None:
        """Return when an attempt's process is at work."""
        await until(lambda: f"{attempt} tick" in self.steps(task), f"{task} attempt {attempt} runs")

    # --- the log ------------------------------------------------------------------------------

    async def _follow(self) -> None:
        async with self.client.bus.log.follow(1) as batches:
            async for batch in batches:
                for stored in batch:
                    envelope = wire.decode(stored.data)
                    if isinstance(envelope, Envelope):
                        self._rows.append((stored, envelope))
                self._news.set()

    async def _somewhere(self, wanted: Callable[[Stored], bool]) -> Stored:
        """The first message in the log that `wanted` is true for, perhaps one to come."""
        seen = 0
        async with asyncio.timeout(PATIENCE):
            while True:
                for stored, _ in self._rows[seen:]:
                    if wanted(stored):
                        return stored
                seen = len(self._rows)
                self._news.clear()
                await self._news.wait()

    def history(self, task: str) -> list[Lifecycle]:
        """The task's events so far."""
        own = (e.event for s, e in self._rows if s.subject.endswith(f".{task}"))
        return [event for event in own if not isinstance(event, Enqueued | Again)]  # type: ignore[misc]

    def sequences(self, task: str, kind: type[Any]) -> list[int]:
        """Where in the log the task's events of that kind stand so far."""
        return [
            stored.seq
            for stored, envelope in self._rows
            if stored.subject.endswith(f".{task}") and isinstance(envelope.event, kind)
        ]

    def kinds(self, task: str) -> list[str]:
        """The kinds of the task's events so far, with the attempt's number where there is one."""
        return [
            str(event.__struct_config__.tag) + str(getattr(event, "attempt", ""))
            for event in self.history(task)
        ]

    async def event(self, task: str, kind: type[T], attempt: int | None = None) -> T:
        """The task's first event of that kind (and attempt)."""
        found: list[Any] = []

        def wanted(stored: Stored) -> bool:
            envelope = wire.decode(stored.data)
            assert isinstance(envelope, Envelope)
            event = envelope.event
            hit = (
                stored.subject.endswith(f".{task}")
                and isinstance(event, kind)
                and attempt in (None, getattr(event, "attempt", None))
            )
            if hit:
                found.append(event)
            return hit

        await self._somewhere(wanted)
        return found[0]

    def ended(self, task: str) -> Finished | Aborted | Dequeued | None:
        """The event that ended the task, if it is there."""
        ends = (e for e in self.history(task) if isinstance(e, Finished | Aborted | Dequeued))
        return next(ends, None)

    async def end(self, task: str) -> Finished | Aborted | Dequeued:
        """The event that ended the task."""
        while True:
            if event := self.ended(task):
                return event
            self._news.clear()
            async with asyncio.timeout(PATIENCE):
                await self._news.wait()

    def when(self, task: str, kind: type[Any], attempt: int) -> float:
        """When the event was written, in seconds since 1970 by its writer's clock."""
        for stored, envelope in self._rows:
            event = envelope.event
            number = getattr(event, "attempt", None)
            own = stored.subject.endswith(f".{task}")
            if own and isinstance(event, kind) and number == attempt:
                return envelope.at / 1e6
        raise AssertionError(f"no such event of {task}")

    def seq(self, task: str, kind: type[Any]) -> int:
        """The sequence of the task's first event of that kind."""
        return next(
            stored.seq
            for stored, envelope in self._rows
            if stored.subject.endswith(f".{task}") and isinstance(envelope.event, kind)
        )

    async def records(self, task: str) -> list[Any]:
        """What the task's attempts said, decoded, in the order of the stream."""
        stream = self.client.bus.telemetry
        last = await stream.last_seq()
        found: list[Any] = []
        if last:
            async with stream.follow(1) as batches:
                async for batch in batches:
                    for stored in batch:
                        if stored.subject.split(".")[2] == task:
                            found.append(wire.decode_telemetry(stored.data))
                    if batch[-1].seq >= last:
                        break
        return found

    async def lines_with_holes(self, task: str) -> tuple[list[str], int]:
        """The lines of the task's log, and how many their numbering says are missing."""
        found: list[str] = []
        missing = 0
        expected: dict[int, int] = {}
        for record in await self.records(task):
            if isinstance(record, Log):
                missing += record.first - expected.get(record.attempt, 0)
                expected[record.attempt] = record.first + len(record.text)
                found += record.text
        return found, missing

    async def lines(self, task: str) -> list[str]:
        """The lines of the task's log; fails if one is missing."""
        found, missing = await self.lines_with_holes(task)
        assert missing == 0, f"{missing} lines are missing"
        return found

    async def numbers(self, task: str, count: int) -> list[int]:
        """The numbers of the witness's lines, once there are as many as `count`."""

        async def there() -> list[int]:
            lines = await self.lines(task)
            numbers = [int(line.split()[2]) for line in lines if line.startswith("line ")]
            return numbers if len(numbers) >= count else []

        return await until(there, f"{count} lines of {task}")

    # --- the end ------------------------------------------------------------------------------

    async def verdict(self) -> None:
        """Every task has one end, every invariant holds, and no task lived twice."""
        rows = [oracle.row(stored) for stored in await oracle.read(self.client.bus.log)]
        assert oracle.violations(rows, self.acked) == {}
        assert self.doubles() == []
        assert self.overlaps() == []

    def doubles(self) -> list[str]:
        """The second lives that tasks saw beside them."""
        return [f"{path.stem}: {path.read_text()}" for path in self.truth.glob("*.double")]

    def overlaps(self) -> list[str]:
        """The tasks of which an earlier attempt did something after a later one had begun."""
        found = []
        for path in self.truth.glob("*.steps"):
            attempts = [int(line.split()[0]) for line in path.read_text().splitlines()]
            if attempts != sorted(attempts):
                found.append(path.stem)
        return found
