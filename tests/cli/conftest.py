"""The real command line as a process, an agent played by its events, and a played projector."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evq.core import decide, wire
from evq.core.bus.connect import Bus
from evq.core.events import Launch, Log, Outcome
from evq.core.fleet.presence import AgentPresence, RunningTask, encode_presence
from evq.core.fleet.resources import Offer
from evq.core.handle import find, handle
from evq.core.questions import Column, Head
from evq.core.sdk.author import Author, now
from evq.core.spec import Script, Spec
from evq.core.state import Queued, Task
from evq.core.subjects import question, telemetry

PATIENCE = 60.0


class Result(msgspec.Struct):
    """A command line that ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.out)


class CommandLine:
    """`evq` as a process of its own, with a home and a folder of its own."""

    def __init__(self, folder: Path, server: str | None) -> None:
        self.cwd = folder / "work"
        self.cwd.mkdir()
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("EVQ_", "NATS_", "XDG_", "GIT_"))
            and name not in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE")
        }
        self.env = kept | {
            "HOME": str(folder / "home"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CEILING_DIRECTORIES": str(folder),
            "PYTHONIOENCODING": "utf-8",
        }
        if server:
            self.env |= {"EVQ_SERVER": server, "EVQ_TOKEN": "test"}

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "evq.cli.main", *words]

    async def __call__(
        self, *words: str, env: Mapping[str, str] | None = None, stdin: str = ""
    ) -> Result:
        """Run it to its end."""
        async with self.start(*words, env=env) as process:
            out, err = await asyncio.wait_for(process.communicate(stdin.encode()), PATIENCE)
        assert process.returncode is not None
        return Result(process.returncode, out.decode(), err.decode())

    @asynccontextmanager
    async def start(
        self, *words: str, env: Mapping[str, str] | None = None
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run it beside the test; it is killed if the block ends before it does."""
        process = await asyncio.create_subprocess_exec(
            *self.argv(*words),
            cwd=self.cwd,
            env={**self.env, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
                await process.wait()

    def repository(self) -> None:
        """Make the folder a git repository with one commit and one change."""
        (self.cwd / "train.py").write_text("print('one')\n")
        identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        for words in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-qm", "first")):
            subprocess.run(["git", *words], cwd=self.cwd, env=self.env, check=True)
        (self.cwd / "train.py").write_text("print('two')\n")


@pytest.fixture
def evq(tmp_path: Path, nats_server: Any, jetstream_bus: Bus) -> CommandLine:
    """The command line, on the shared server with empty streams."""
    return CommandLine(tmp_path, nats_server.url)


@pytest.fixture
def lone_evq(tmp_path: Path) -> CommandLine:
    """The command line where no server is known."""
    return CommandLine(tmp_path, None)


class Played:
    """An agent that only says what it does; a task is handed to it by its id."""

    NAME = "laptop"
    INSTANCE = "laptop-1"

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.author = Author(self.NAME)
        self.holder = decide.Holder(self.INSTANCE, 1)
        self._sent = 0

    async def appear(
        self,
        *queues: str,
        slots: int = 2,
        claims: tuple[int, ...] = (),
        paused: str = "",
        **more: Any,
    ) -> None:
        """Be there, for the others to see; `more` are fields of the presence."""
        presence = AgentPresence(
            agent=self.NAME,
            instance=self.INSTANCE,
            host="laptop",
            pid=1,
            queues=queues,
            order="strict",
            slots=slots,
            claims=claims,
            since=now(),
            paused=paused,
            **{
                "offer": Offer(slots=slots),
                "free": Offer(slots=slots - len(claims)),
                "running": tuple(
                    RunningTask(
                        task=f"t{claim}",
                        attempt=1,
                        name="train",
                        user="me",
                        slot=slot,
                        since=now(),
                        queue=queues[0],
                    )
                    for slot, claim in enumerate(claims)
                ),
                **more,
            },
        )
        await self.bus.presence.put(self.NAME, encode_presence(presence), 600)

    async def does(self, task: str, command: decide.Command) -> Task:
        """Append what `command` leads to."""
        known = await find(self.bus.log, task)
        return (await handle(self.bus.log, self.author, known, command)).task

    async def claims(self, task: str, permit: str = "") -> Task:
        known = await find(self.bus.log, task)
        waited = known.state.failure if isinstance(known.state, Queued) else 0
        hint = known.place.hint
        claim = decide.Claim(self.NAME, self.INSTANCE, 0, hint, 10.0, waited, permit=permit)
        claimed = await self.does(task, claim)
        assert claimed.live
        self.holder = decide.Holder(self.INSTANCE, claimed.live.number)
        return claimed

    async def starts(self, task: str) -> Task:
        await self.does(task, decide.BeginPhase(self.holder, "code"))
        await self.does(task, decide.EndPhase(self.holder, "code", 0.5, True))
        start = decide.Start(
            self.holder, Launch(now(), 42, ("python", "train.py"), "laptop", "work")
        )
        return await self.does(task, start)

    async def says(self, task: Task, *lines: tuple[str, str], claim: int | None = None) -> None:
        """Write lines, each given as its stream's letter and its text."""
        assert task.live
        record = Log(
            attempt=task.live.number,
            claim=claim or task.live.claim,
            first=self._sent,
            at=tuple(now() for _ in lines),
            stream="".join(letter for letter, _ in lines),
            text=tuple(text for _, text in lines),
        )
        self._sent += len(lines)
        subject = telemetry(task.spec.queue, task.id, self.NAME)
        data = wire.encode_telemetry(record)
        await self.bus.telemetry.publish(subject, data, f"{record.claim}-{claim}-{self._sent}")

    async def ends(self, task: str, exit_code: int = 0, evidence: str = "") -> Task:
        outcome = Outcome.FAILED if exit_code else Outcome.COMPLETED
        finish = decide.Finish(self.holder, outcome, exit_code=exit_code, evidence=evidence)
        return await self.does(task, finish)

    async def runs(self, task: str, *lines: str, exit_code: int = 0) -> Task:
        """A whole attempt that writes `lines` to its stdout."""
        await self.claims(task)
        started = await self.starts(task)
        if lines:
            await self.says(started, *(("o", line) for line in lines))
        return await self.ends(task, exit_code)


@pytest.fixture
def played(jetstream_bus: Bus) -> Played:
    return Played(jetstream_bus)


Answers = Mapping[str, list[dict[str, Any]]]


@pytest.fixture
def projector(jetstream_bus: Bus) -> Callable[[Answers], Any]:
    """`async with projector({"tasks": rows})` answers questions with these rows."""

    @asynccontextmanager
    async def serving(answers: Answers) -> AsyncIterator[list[dict[str, Any]]]:
        asked: list[dict[str, Any]] = []

        async def answer(data: bytes) -> AsyncIterator[bytes]:
            words = msgspec.json.decode(data)
            asked.append(words)
            rows = answers[words.get("name", "sql")]
            names = list(rows[0]) if rows else []
            columns = tuple(Column(n, "BIGINT" if n == "count" else "VARCHAR") for n in names)
            yield msgspec.json.encode(Head(columns, 1))
            for start in range(0, len(rows), 100):
                part = rows[start : start + 100]
                yield msgspec.json.encode([list(row.values()) for row in part])

        calls = jetstream_bus.calls
        async with (
            calls.serve(question("named"), answer),
            calls.serve(question("sql"), answer),
        ):
            yield asked

    return serving


def a_spec(**changes: Any) -> Spec:
    """A spec that needs no code."""
    spec = Spec(entry=Script("train.py"), name="train.py", queue="default", user="me", host="here")
    return msgspec.structs.replace(spec, **changes)


@pytest.fixture
def make_spec() -> Callable[..., Spec]:
    return a_spec
