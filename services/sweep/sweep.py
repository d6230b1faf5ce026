"""A sweep in the hands of a person or a program: made, looked at, extended, stopped."""

from __future__ import annotations

import os
import shlex
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from ...core import subjects
from ...core.errors import Conflict, UsageError
from ...core.journal import Noted
from ...core.sdk.client import Client
from ...core.sdk.journal import Journal, journals
from ...core.sdk.request import Options, Runnable
from ...core.sdk.services import start_service
from ...core.sdk.submitting import with_code_sent
from ...core.sdk.watch import watch
from ...core.spec import Command, Inline, Module, Notebook, Script, Spec
from ...core.state import Ended
from .controller import SERVICE, load_journal, open_journal
from .decide import Decision
from .definition import Definition, check_definition, check_sweep_name, make_definition
from .facts import Created, Extended, Fact, Resumed, Stopped
from .state import SweepState, Trial
from .trial import check_base


class Sweep:
    """A sweep by its name. Its controller runs as a task, and needs nothing of this process.

    sweep = await Sweep.create(client, "lr-search", definition, base)
    async for noted in sweep.follow():
        print(noted.words)
    """

    def __init__(self, client: Client, journal: Journal[SweepState, Fact]) -> None:
        self._client = client
        self._journal = journal

    @classmethod
    async def create(cls, client: Client, name: str, definition: Definition, base: Spec) -> Sweep:
        """A new sweep of trials that are made from the task `base`, and let it run.

        Raises `UsageError`, or `Conflict` if there is a sweep of this name.
        """
        check_definition(definition)
        check_base(base, definition)
        journal = open_journal(client, check_sweep_name(name))
        await journal.load()
        sweep = cls(client, journal)

        def choose(state: SweepState) -> Decision:
            if state.definition:
                raise Conflict(
                    f"there is a sweep {name} already",
                    why=f"{len(state.trials)} trials of it have begun",
                    fix=f"evq sweep extend {name} --trials 20, or choose another --name",
                )
            return Created(definition, base), f"sweep {name} is to begin"

        await journal.decide(choose)
        await sweep.start()
        return sweep

    @classmethod
    async def open(cls, client: Client, name: str) -> Sweep:
        """A sweep that exists. Raises `NotFound`."""
        return cls(client, await load_journal(client, name))

    @property
    def state(self) -> SweepState:
        """What is known of it, as of when it was last read."""
        return self._journal.state

    @property
    def best(self) -> Sequence[Trial]:
        """The complete trials, the best first; with several objectives, those that none beats."""
        return self.state.best

    async def start(self) -> None:
        """Let its controller run, unless it does already."""
        await start_service(self._client, SERVICE, self.state.name)

    async def extend(self, trials: int = 0, seconds: float = 0.0) -> None:
        """Let it try so many more trials, or propose for so many more seconds. One that was stopped
        goes on. Raises `UsageError`."""
        state = self.state
        if trials <= 0 and seconds <= 0:
            raise UsageError("nothing is added", fix=f"evq sweep extend {state.name} --trials 20")
        if (trials and state.limit is None) or (seconds and state.seconds is None):
            what = "trials" if trials else "time"
            raise UsageError(
                f"sweep {state.name} has no limit of {what} that could be extended",
                fix=f"evq sweep show {state.name}",
            )
        words = f"{trials} more trials are wanted" if trials else f"it may take {seconds:g} s more"
        await self._go_on(Extended(trials, seconds), words)

    async def resume(self, reason: str = "") -> None:
        """Let a stopped sweep go on. Raises `Conflict` if it was not stopped."""
        if self.state.stop is None:
            raise Conflict(
                f"sweep {self.state.name} is not stopped",
                why=self.state.finished or "it runs",
                fix=f"evq sweep extend {self.state.name} --trials 20",
            )
        await self._go_on(Resumed(reason), f"it goes on{f': {reason}' if reason else ''}")

    async def _go_on(self, fact: Fact, words: str) -> None:
        had_finished = False

        def choose(state: SweepState) -> Decision:
            nonlocal had_finished
            had_finished = bool(state.finished)
            return fact, words

        noted = await self._journal.decide(choose)
        assert noted
        await self.start()
        if had_finished:
            await self._outlive(noted.seq)

    async def _outlive(self, seq: int) -> None:
        """Start it again if the controller found running was one about to end, which had not heard
        of what stands at `seq`."""
        found = await start_service(self._client, SERVICE, self.state.name)
        if found.task.live is None:
            return  # it has not begun, and reads all when it does
        subject = subjects.service_events(SERVICE, self.state.name)
        lifecycle = subjects.lifecycle(found.task.spec.queue, found.task.id)
        async with aclosing(watch(self._client.bus, seq, (subject, lifecycle))) as events:
            async for seen in events:
                if seen.subject == subject:
                    return  # somebody speaks for the sweep who has heard of it
                if isinstance((await self._client.get(found.task.id)).state, Ended):
                    await self.start()
                    return

    async def stop(self, reason: str, *, finish: bool = False) -> None:
        """Propose nothing more, and abort the trials that run unless they may `finish`."""
        words = f"it is stopped: {reason}" + (", once its trials have ended" if finish else "")

        def choose(state: SweepState) -> Decision | None:
            if state.finished:
                raise Conflict(f"sweep {state.name} has finished", why=state.finished)
            return Stopped(reason, finish), words

        await self._journal.decide(choose)
        await self.start()

    async def refresh(self) -> SweepState:
        """What is known of it now."""
        await self._journal.catch_up()
        return self.state

    async def follow(self) -> AsyncGenerator[Noted[Fact], None]:
        """What is decided from where it was last read to, until it has finished."""
        if self.state.finished:
            return
        async with aclosing(self._journal.follow()) as facts:
            async for noted in facts:
                yield noted
                if self.state.finished:
                    return


async def sweep(
    client: Client,
    name: str,
    what: Runnable,
    args: Sequence[object] = (),
    *,
    folder: str | os.PathLike[str] = ".",
    params: Mapping[str, object] | None = None,
    options: Options | None = None,
    **fields: Any,
) -> Sweep:
    """Begin a sweep of a task with the code of `folder`.

    `what`, `args`, `params` and `options` are as for `Client.submit`; the `fields` are those of a
    sweep's file, such as `space`, `objective` and `trials`. Raises `UsageError` or `Conflict`.
    """
    base = await with_code_sent(
        client, what, args, folder=Path(folder), params=params or {}, options=options or {}
    )
    definition = make_definition({"run": run_text(base), **fields})
    return await Sweep.create(client, name, definition, base)


def run_text(base: Spec) -> str:
    """What stands behind `evq run` for a task, as far as that can be written there."""
    match base.entry:
        case Script(path, args):
            words = [path, "--", *args]
        case Module(name, args):
            words = ["-m", name, "--", *args]
        case Command(argv):
            words = ["--", *argv]
        case Notebook(path):
            words = [path]
        case Inline(text, args):
            words = ["-c", text, "--", *args]
    return shlex.join(["-q", base.queue, *words])


async def sweeps(client: Client) -> list[SweepState]:
    """All sweeps there are, by their names."""
    found = []
    for name in await journals(client, SERVICE):
        journal = open_journal(client, name)
        await journal.load()
        if journal.state.definition:
            found.append(journal.state)
    return found
