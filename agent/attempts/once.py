"""One attempt in the foreground, by the very pipe that an agent sends its tasks through.

repro   the task as it was, on a log in memory: nothing is written to the real one
build   the same without its command: what stays is the environment in the cache
exec    the task itself, claimed for this machine
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from msgspec.structs import replace

from ...core import events, ports, state, status, subjects
from ...core.bus.connect import Bus, Login, connect
from ...core.bus.depots.beside import BesideDepot
from ...core.bus.loop import loop_factory
from ...core.bus.memory import MemoryBus, MemoryServer
from ...core.decide import Claim, Command, Finish, GiveBack
from ...core.errors import Conflict, ContainerFailed
from ...core.events import Enqueued, Log, Outcome
from ...core.handle import find, handle
from ...core.ports import Delivery, Entry
from ...core.queueing.granting import load_tally
from ...core.sdk.author import host_name, now
from ...core.sdk.client import Client
from ...core.spec import Repo, Spec
from ...core.state import Task
from ...core.subjects import Level
from ...core.wire import decode_telemetry, encode
from ..config import Config
from ..containers.image import KEPT, Content
from ..containers.lodging import asked
from ..gang.variables import ALONE
from ..gpus.find import open_pool
from ..main import answer, equipped, named, own_login
from ..means import Means
from ..options import parse
from ..reporting.channel import Channel
from ..reporting.outbox import Outbox
from ..reporting.spool import Record, Spool
from ..secret_sources import NO_SECRETS, SecretSources
from . import launch
from .attempt import Attempt
from .preparation import Ready

GIVEN_BACK = 130


class Aloud(Outbox):
    """An outbox that also says on the terminal what the task says: stdout on stdout, all else on
    stderr."""

    def put(self, record: Record) -> bool:
        """Send a record some time, and print its lines now."""
        told = decode_telemetry(record.data.encode())
        if isinstance(told, Log):
            for letter, text in zip(told.stream, told.text, strict=True):
                print(text, file=sys.stdout if letter == "o" else sys.stderr, flush=True)
        return super().put(record)


F = TypeVar("F", bound="Foreground")


class Foreground(Attempt):
    """An attempt that tells its steps on stderr."""

    async def write(self, command: Command) -> events.Lifecycle:
        event = await super().write(command)
        if isinstance(event, events.Phase) and event.seconds is not None:
            cached = " (cached)" if event.cached else ""
            print(f"  {event.name} {event.seconds:.1f}s{cached} {event.detail}", file=sys.stderr)
        return event


class Building(Foreground):
    """An attempt that ends when its environment is there."""

    built: launch.Built | None = None
    image: str | None = None

    async def _run_command(self, ready: Ready) -> Finish | GiveBack | None:
        self.built = ready.built
        return Finish(self.holder, Outcome.COMPLETED)


class Imaging(Building):
    """An attempt that ends when an image is made of its container, code and environment."""

    def __init__(self, tag: str, *rest: Any) -> None:
        super().__init__(*rest)
        self._tag = tag

    async def _run_command(self, ready: Ready) -> Finish | GiveBack | None:
        spec, lodging = self.task.spec, self._preparation.lodging
        assert lodging is not None
        built, means = ready.built, self._means
        environment = built.environment
        given = launch.variables(
            means, self.task, 1, built, Path(os.devnull), ready.place, NO_SECRETS
        )
        wanted = KEPT | spec.variables.keys()
        wanted |= environment.variables.keys() if environment else set()
        content = Content(
            tree=ready.tree,
            folder=spec.code.folder if spec.code else ".",
            sdk=means.sdk,
            environment=environment,
            variables={name: value for name, value in given.items() if name in wanted},
            argv=launch.command(spec, ready.tree, built),
        )
        self.image = await lodging.save(self._tag, content, ready.place)
        return await super()._run_command(ready)


class Unqueued:
    """The hint of a task that nobody handed to us: there is nothing to say about it."""

    redelivered = False
    data = b""
    token = ""

    def __init__(self, level: Level, task: str, seq: int) -> None:
        self.level = level
        self.task = task
        self.seq = seq

    async def done(self) -> None:
        """Whoever is handed the hint sees that the task has ended."""

    async def later(self, delay: float) -> None:
        """It waits in its queue as it is."""

    async def working(self) -> None:
        """Our presence says it."""


# --- which log ----------------------------------------------------------------------------------


@asynccontextmanager
async def apart(login: Login, task_id: str) -> AsyncIterator[tuple[Bus, Task]]:
    """The task on a log in memory, as if it had just been enqueued; only its code and
    its inputs are real."""
    async with connect(login, "evq-repro") as real:
        known = await find(real.log, task_id)
        memory = MemoryBus(MemoryServer())
        bus = cast(Bus, memory)
        bus.objects = real.objects
        memory.depot = BesideDepot(memory.depot, real.depot)
        for other in {one.task for one in known.spec.inputs}:
            await _copy(real.log, bus.log, other)
        spec = replace(alone(known.spec), retries=0, losses=0, repo=_repo_as_it_ran(known))
        level = Level.of(spec)
        envelope = events.Envelope(
            id=secrets.token_hex(10), at=now(), by=known.by, event=Enqueued(known.id, spec)
        )
        entry = Entry(subjects.hint(level, known.id), encode(envelope), envelope.id)
        await bus.log.append(entry)
        yield bus, await find(bus.log, known.id)


async def _copy(real: ports.Log, log: ports.Log, task_id: str) -> None:
    """Let another task of the real log be known in this one, with the artifacts that it saved."""
    task = await find(real, task_id)
    subject = subjects.lifecycle(task.spec.queue, task_id)
    hint = await real.get(task.origin)
    for stored in (hint, *await real.history(subject)):
        assert stored is not None
        await log.append(Entry(stored.subject, stored.data, f"copy-{stored.seq}"))


def alone(spec: Spec) -> Spec:
    """The spec without the others that its task waits for: those before it, those of its gang."""
    variables = ALONE | spec.variables if spec.gang else spec.variables
    return replace(spec, after=(), gang=None, nodes=1, variables=variables)


def _repo_as_it_ran(task: Task) -> Repo | None:
    """The task's remote, at the commit that its last attempt ran, wherever the branch is now."""
    repo, commit = task.spec.repo, task.attempts[-1].commit if task.attempts else None
    return replace(repo, branch=None, commit=commit) if repo and commit else repo


@asynccontextmanager
async def real(login: Login, task_id: str) -> AsyncIterator[tuple[Bus, Task]]:
    """The task on the real log. One that has ended is enqueued once more, on a queue of its own
    from which nobody else takes it."""
    async with connect(login, "evq-exec") as bus:
        client = Client(bus)
        task = await client.get(task_id)
        match task.state:
            case state.Queued() if task.spec.gang:
                raise Conflict(
                    f"task {task.id} is a rank of a gang",
                    why=f"it does not run without its {task.spec.nodes - 1} others",
                    fix=f"evq why {task.id}, or evq repro {task.id} to try this rank here alone",
                )
            case state.Queued():
                pass
            case state.Held():
                raise Conflict(
                    f"task {task.id} waits for other tasks",
                    why="it is not to run before they have ended",
                    fix=f"evq why {task.id}, or evq repro {task.id} to try it here and now",
                )
            case state.Claimed(attempt) | state.Running(attempt):
                raise Conflict(
                    f"task {task.id} runs already",
                    why=f"agent {attempt.agent} has it",
                    fix=f"evq shell {task.id} there, or evq repro {task.id} here",
                )
            case state.Ended():
                queue = f"exec-{host_name()}"[:64]
                spec = replace(alone(task.spec), parent=task.id, key=None, queue=queue)
                task = await client.get((await client.enqueue(spec)).task)
                print(f"it has ended: task {task.id} is the same again", file=sys.stderr)
        yield bus, task


async def claimed(means: Means, task: Task) -> tuple[Task, Unqueued]:
    """The task, claimed for us. Raises `Rejected` if somebody was faster.

    The claim names the hint that waits in the queue, so that others take over if we die.
    """
    config = means.config
    tally = await load_tally(means.bus.log, task.place.queue)
    permit = tally.permits.queue if tally.permits.limited else ""
    claim = Claim(config.name, means.instance, 0, task.place.hint, config.lease, permit=permit)
    written = await handle(means.bus.log, means.author, task, claim)
    return written.task, Unqueued(Level.of(task.spec_now), task.id, task.place.hint)


# --- one attempt --------------------------------------------------------------------------------


async def attempt(
    kind: Callable[[Means, Task, Delivery, Channel], F], config: Config, bus: Bus, task: Task
) -> tuple[F, Finish | GiveBack | None]:
    """Carry one attempt of the task through, from its claim to its end in the log."""
    outbox = Aloud(bus, Spool(config.state / "spool", config.spool_bytes))
    instance = secrets.token_hex(6)
    sources = SecretSources(os.environ, config.secrets_env, config.secrets_file)
    config = replace(config, slots=1)
    pool = open_pool(config, instance)
    async with equipped(config, bus, instance, outbox, sources, pool) as (means, channels):
        began = now()
        means.keeper.presence = lambda claims: means.presence(
            claims, since=began, queues=(), slots=1, draining=True
        )
        await means.keeper.renew()
        background = [asyncio.ensure_future(means.keeper.run())]
        background.append(asyncio.ensure_future(outbox.run()))
        try:
            ours, hint = await claimed(means, task)
            one = kind(means, ours, hint, channels[0])
            background.append(asyncio.ensure_future(_hear(one, bus, channels[0], config.name)))
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, one.give_back)
            end = await one.run()
            await one.record(end)
            return one, end
        finally:
            for part in background:
                part.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            await means.keeper.vanish()
            means.diary.over()


async def _hear(one: Attempt, bus: Bus, channel: Channel, agent: str) -> None:
    async with bus.calls.listen(subjects.commands(agent)) as words:
        async for _ in words:
            await one.check()


def exit_status(end: Finish | GiveBack | None) -> int:
    """What a shell would say of the end: see `evq run`."""
    match end:
        case Finish(outcome=outcome, exit_code=code):
            return status.exit_status(outcome, code)
        case GiveBack():
            return GIVEN_BACK
        case None:
            return 1


# --- the process --------------------------------------------------------------------------------


async def repro(config: Config, login: Login, task: str) -> int:
    """Run the task here without telling anybody; its exit status."""
    async with apart(login, task) as (bus, known):
        _, end = await attempt(Foreground, config, bus, known)
        return exit_status(end)


async def execute(config: Config, login: Login, task: str) -> int:
    """Run the task here as its next attempt; its exit status."""
    async with real(login, task) as (bus, known):
        one, end = await attempt(Foreground, config, bus, known)
        print(f"task {one.task.id} is {one.task.name_of_state}", file=sys.stderr)
        return exit_status(end)


async def build(config: Config, login: Login, task: str, tag: str | None, as_json: bool) -> int:
    """Make the task's environment, or an image of it, and say where it is."""
    async with apart(login, task) as (bus, known):
        if tag and asked(known.spec_now, config) is None:
            raise ContainerFailed(
                "no image can be made of a task that runs in none",
                why="the image is made out of the one that the task runs in",
                fix=f"evq clone {known.id} --docker python:3.12-slim, then build that",
            )
        kind = partial(Imaging, tag) if tag else Building
        one, end = await attempt(kind, config, bus, known)
    if one.built is None or (tag and one.image is None):
        return exit_status(end)
    environment = one.built.environment
    facts = {
        "key": environment.key if environment else None,
        "path": str(environment.path) if environment and environment.path else None,
        "manager": environment.manager if environment else "none",
        "python": environment.python if environment else None,
        "packages": {p.name: p.version for p in environment.packages} if environment else {},
        "cached": environment.cached if environment else True,
        "image": one.image,
    }
    if as_json:
        print(json.dumps(facts))
    elif made := one.image or facts["path"]:
        print(made)
        print(f"  {f'image {tag}' if tag else 'key {}'.format(facts['key'])}", file=sys.stderr)
    else:
        print("this task runs with what the machine has", file=sys.stderr)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments say; returns the exit status."""
    parser = argparse.ArgumentParser(prog="evq", allow_abbrev=False)
    parser.add_argument("mode", choices=("repro", "exec", "build"))
    parser.add_argument("task")
    parser.add_argument("--tag", dest="docker")
    parser.add_argument("--json", action="store_true")
    options, rest = parser.parse_known_args(argv)
    logging.basicConfig(level="WARNING", format="%(levelname)s %(message)s", stream=sys.stderr)

    def act() -> int:
        login, config = own_login(), parse(["--queues", "once", "--allow-client", *rest])
        with named(config, f"{host_name()}-{options.mode}") as ours:
            match options.mode:
                case "exec":
                    work = execute(ours, login, options.task)
                case "build":
                    work = build(ours, login, options.task, options.docker, options.json)
                case _:
                    work = repro(replace(ours, keep=0.0), login, options.task)
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                return runner.run(work)

    return answer(act)


if __name__ == "__main__":
    sys.exit(main())
