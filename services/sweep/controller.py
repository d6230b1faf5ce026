"""Runs a sweep: writes down what comes next, does it, and listens to the trials.

Everything that is done has a name that follows from the journal, so that whoever goes on after a
crash does it again without harm: a trial's task has a key, and an abort that came before is none.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import aclosing, suppress

import msgspec

from ...core import subjects
from ...core.errors import Conflict, NotFound, UsageError
from ...core.events import Metric
from ...core.ids import check_name
from ...core.journal import Noted
from ...core.sdk.author import now
from ...core.sdk.client import Client
from ...core.sdk.following import Happened, Said, follow, newborn
from ...core.sdk.journal import Journal
from ...core.sdk.watch import watch
from ...core.state import Ended, Task
from .curve import Curve
from .decide import Decision, end_of, finish, judgement, next_trial, weighed
from .facts import Fact, Judged, Point, Proposed, Stopped
from .pruner import Pruner
from .state import SweepState, evolve, task_of
from .study import check_able
from .trial import spec_of

SERVICE = "sweep"
BEST, EXPENDABLE = "best", "expendable"


class Heard(msgspec.Struct, frozen=True):
    """Something that a trial's task did or said."""

    number: int
    item: Happened | Said


class Over(msgspec.Struct, frozen=True):
    """A trial's task has ended, and all that it said was heard."""

    number: int
    task: Task


class Word(msgspec.Struct, frozen=True):
    """Somebody had a say in the sweep, which stands in its journal."""


News = Heard | Over | Word


def open_journal(client: Client, name: str) -> Journal[SweepState, Fact]:
    """The journal of a sweep, still unread."""
    start = SweepState(name=check_name(name, "sweep"))
    return Journal(client, SERVICE, name, facts=Fact, start=start, evolve=evolve)


async def load_journal(client: Client, name: str) -> Journal[SweepState, Fact]:
    """The journal of a sweep that exists. Raises `NotFound`."""
    journal = open_journal(client, name)
    await journal.load()
    if journal.state.definition is None:
        raise NotFound(f"there is no sweep {name}", fix="evq sweep ls")
    return journal


async def run(client: Client, name: str, holder: str) -> None:
    """Go on with a sweep until it has finished, speaking for it as `holder`.

    What it raises comes in an exception group: `Superseded` if another one takes over, `NotFound`
    if there is no such sweep.
    """
    async with asyncio.TaskGroup() as group:
        journal = await load_journal(client, name)
        await journal.take(holder)
        controller = Controller(client, journal, group)
        listener = group.create_task(controller.listen())
        await controller.run()
        listener.cancel()


class Controller:
    """One run of a sweep. Its followers are tasks of `group`."""

    def __init__(
        self, client: Client, journal: Journal[SweepState, Fact], group: asyncio.TaskGroup
    ) -> None:
        self._client = client
        self._journal = journal
        self._group = group
        self._news: asyncio.Queue[News] = asyncio.Queue(maxsize=64)
        self._pruner = Pruner()
        self._curves: dict[int, Curve] = {}
        self._aborted: set[int] = set()
        self._able = True
        """Whether all is installed that the sweep needs."""

    @property
    def _sweep(self) -> SweepState:
        return self._journal.state

    async def run(self) -> None:
        """Take up what was begun; then propose, listen and judge until nothing is left to do."""
        await self._check()
        for trial in self._sweep.open:
            await self._begin(trial.number)
        while not await self._settle():
            await self._hear()
        await self._mark()

    async def _check(self) -> None:
        """Stop the sweep if it cannot go on here: who watches it shall hear why."""
        try:
            check_able(self._sweep.plan)
        except UsageError as error:
            self._able = False
            stopped = Stopped(f"{error}; {error.fix}")
            await self._say(lambda sweep: _unless_over(sweep, stopped))

    async def listen(self) -> None:
        """Hear of what people decide about the sweep."""
        subject = subjects.service_events(SERVICE, self._sweep.name)
        async with aclosing(watch(self._client.bus, self._journal.seq, (subject,))) as events:
            async for seen in events:
                if seen.seq > self._journal.seq:
                    await self._news.put(Word())

    async def _settle(self) -> bool:
        """Do what follows from the state of the sweep, and say whether that was the end of it."""
        stop = self._sweep.stop
        if stop and not stop.finish:
            for trial in self._sweep.open:
                await self._abort(trial.number, f"the sweep was stopped: {stop.reason}")
        while noted := await self._say(lambda sweep: next_trial(sweep, now())):
            assert isinstance(noted.fact, Proposed)
            await self._begin(noted.fact.number)
        if self._sweep.open:
            return False
        if self._able:
            await self._say(lambda sweep: weighed(sweep, at_end=True))
        await self._say(lambda sweep: finish(sweep, now()))
        return bool(self._sweep.finished)

    async def _mark(self) -> None:
        """Tag the tasks of the best trials as such, and the others as those whose files may go."""
        sweep = self._sweep
        if sweep.plan.keep is None:
            return
        for trial in sweep.trials:
            tag, other = (BEST, EXPENDABLE) if trial.number in sweep.kept else (EXPENDABLE, BEST)
            await self._client.tag(task_of(sweep.name, trial.number), (tag,), (other,))

    async def _begin(self, number: int) -> None:
        """See to it that the trial's task is there, and follow it."""
        trial = self._sweep.trials[number]
        spec = spec_of(self._sweep, trial, os.environ.get("EVQ_TASK_ID"))
        receipt = await self._client.enqueue(spec)
        self._curves[number] = Curve(self._sweep.plan)
        if trial.hopeless:
            await self._abort(number, f"the sweep {self._sweep.name} gave it up")
        self._group.create_task(self._follow(number, receipt.seq))

    async def _follow(self, number: int, origin: int) -> None:
        """Bring in what the trial's task does and says, from its beginning to its end."""
        task = await newborn(self._client.bus, origin)
        async with aclosing(follow(self._client.bus, task)) as items:
            async for item in items:
                await self._news.put(Heard(number, item))
                if isinstance(item, Happened):
                    task = item.task
        await self._news.put(Over(number, task))

    async def _hear(self) -> None:
        """Listen until something is heard from which something follows."""
        while True:
            try:
                async with asyncio.timeout(self._time_left()):
                    news = await self._news.get()
            except TimeoutError:
                return
            match news:
                case Heard(number, item):
                    await self._listen_to(number, item)
                case Over(number, task):
                    await self._end(number, task)
                    return
                case Word():
                    await self._journal.catch_up()
                    return

    def _time_left(self) -> float | None:
        """Seconds until the sweep may propose nothing more, if that is still to come."""
        sweep = self._sweep
        if sweep.seconds is None:
            return None
        left = sweep.seconds - (now() - sweep.began) / 1e6
        return left if left > 0 else None

    async def _listen_to(self, number: int, item: Happened | Said) -> None:
        curve = self._curves[number]
        match item:
            case Happened(before, task):
                if task.live and (before.live is None or before.live.number != task.live.number):
                    curve.restart()
            case Said(_, Metric() as record):
                for point in curve.read(record):
                    await self._judge(number, point)
            case Said():
                pass

    async def _judge(self, number: int, point: Point) -> None:
        points = self._curves[number].points
        noted = await self._say(lambda sweep: judgement(sweep, number, point, points, self._pruner))
        if noted and isinstance(noted.fact, Judged) and noted.fact.hopeless:
            await self._abort(number, noted.words)

    async def _end(self, number: int, task: Task) -> None:
        assert isinstance(task.state, Ended)
        state, curve = task.state, self._curves.pop(number)
        self._pruner.forget(number)
        await self._say(lambda sweep: end_of(sweep, number, state, curve))
        await self._say(weighed)

    async def _abort(self, number: int, reason: str) -> None:
        """Let the trial's task end; one that has ended already is none to abort."""
        if number not in self._aborted:
            self._aborted.add(number)
            with suppress(Conflict):
                await self._client.abort(task_of(self._sweep.name, number), reason)

    async def _say(self, choose: Callable[[SweepState], Decision | None]) -> Noted[Fact] | None:
        """Decide, and tell whoever reads the controller's log."""
        noted = await self._journal.decide(choose)
        if noted:
            print(noted.words, flush=True)
        return noted


def _unless_over(sweep: SweepState, stopped: Stopped) -> Decision | None:
    over = sweep.finished or sweep.stop
    return None if over else (stopped, f"it is stopped: {stopped.reason}")
