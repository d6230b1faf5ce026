"""The loop of an autoscaler: look, decide, write it down, act.

What is going to be done is in the journal before it is done, under a name that follows from the
journal alone. So whoever goes on after a crash does again what may not have been done, and nothing
is had twice or forgotten.
"""

from __future__ import annotations

import asyncio
from asyncio import FIRST_COMPLETED
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from ...core.fleet.agents import DrainRequested, ResumeRequested
from ...core.sdk.client import Client
from ...core.sdk.journal import Journal
from ...core.sdk.live import LiveFleet, live_fleet
from .drivers import Driver, Refusal, access_of, drivers_for
from .facts import Fact, Launched, Machine, Refused, Stage, State
from .journal import autoscaler_journal
from .looking import Eyes
from .orders import reason_of
from .planning import Decision, Look, plan

AT_ONCE = 8
"""Machines that are had or ended side by side."""

REST_SECONDS = 0.2
SOON_SECONDS = 1.0


async def serve(client: Client, name: str, holder: str, say: Callable[[str], None]) -> None:
    """Speak for an autoscaler as `holder` until it is stopped. Raises `Superseded`."""
    journal = autoscaler_journal(client, name)
    await journal.load()
    await journal.take(holder)
    await Controller(client, journal, say).run()


class Controller:
    """One autoscaler at work. `say` is told every decision."""

    def __init__(
        self, client: Client, journal: Journal[State, Fact], say: Callable[[str], None]
    ) -> None:
        self._client = client
        self._journal = journal
        self._say = say
        self._drivers: dict[str, Driver] = {}
        self._chosen_for: object = None
        self._wake = asyncio.Event()
        self._places = asyncio.Semaphore(AT_ONCE)

    @property
    def state(self) -> State:
        """What was decided so far."""
        return self._journal.state

    async def run(self) -> None:
        """Go on until it is stopped and its last machine is gone. Raises `Superseded`."""
        async with live_fleet(self._client, ended=0, events=0) as fleet:
            listeners = [
                asyncio.create_task(self._hear_decisions()),
                asyncio.create_task(self._hear_of_queues(fleet)),
            ]
            work = asyncio.create_task(self._work(Eyes(self._journal.name, fleet, self._say)))
            try:
                done, _ = await asyncio.wait([*listeners, work], return_when=FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in (*listeners, work):
                    task.cancel()
                await asyncio.gather(*listeners, work, return_exceptions=True)

    async def _hear_decisions(self) -> None:
        """Others may have a say, too; and another attempt may speak now."""
        async for _ in self._journal.follow():
            self._wake.set()

    async def _hear_of_queues(self, fleet: LiveFleet) -> None:
        seen = 0
        while True:
            changes = await fleet.changed(seen, rest=REST_SECONDS)
            seen = changes.version
            if changes.queues or changes.everything:
                self._wake.set()

    async def _work(self, eyes: Eyes) -> None:
        while True:
            self._wake.clear()
            self._choose_drivers()
            look = await eyes.look(self.state, self._drivers)
            while noted := await self._journal.decide(partial(self._plan, look)):
                self._say(noted.words)
            if self.state.stopped and not self.state.machines:
                return
            await self._act(look)
            await self._rest()

    def _plan(self, look: Look, state: State) -> Decision | None:
        return plan(self._journal.name, state, look)

    def _choose_drivers(self) -> None:
        """Drivers for the kinds there are; others when somebody wished for others."""
        definition = self.state.definition
        wanted = (self.state.kinds, definition and definition.server)
        if definition and wanted != self._chosen_for:
            access = access_of(definition)
            self._drivers = drivers_for(self._journal.name, self.state.kinds, access)
            self._chosen_for = wanted

    async def _rest(self) -> None:
        """Until something happens, or for a while; shorter while a machine comes or goes."""
        definition = self.state.definition
        look = definition.look if definition else SOON_SECONDS
        on_its_way = any(one.stage is not Stage.HERE for one in self.state.machines.values())
        with suppress(TimeoutError):
            async with asyncio.timeout(min(look, SOON_SECONDS) if on_its_way else look):
                await self._wake.wait()

    async def _act(self, look: Look) -> None:
        """Do what the stages of machines ask for; to do it again does no harm."""
        async with asyncio.TaskGroup() as group:
            for machine in self.state.machines.values():
                group.create_task(self._one(machine, look))

    async def _one(self, machine: Machine, look: Look) -> None:
        kind = self.state.kinds.get(machine.kind)
        driver = self._drivers.get(kind.driver) if kind else None
        if driver is None:
            return
        async with self._places:
            match machine.stage:
                case Stage.WANTED:
                    await self._have(machine, driver)
                case Stage.DRAINING:
                    await self._drain(machine, look)
                case Stage.RECALLED:
                    await self._resume(machine, look)
                case Stage.ENDING:
                    await self._end(machine, driver)
                case Stage.LAUNCHED | Stage.HERE:
                    return

    async def _have(self, machine: Machine, driver: Driver) -> None:
        fact: Fact
        try:
            ref = await driver.launch(machine.name, machine.kind, self.state.kinds[machine.kind])
            fact, words = Launched(machine.name, ref), f"{machine.name} is launched as {ref[:24]}"
        except Refusal as refusal:
            fact, words = Refused(machine.name), str(refusal)
        noted = await self._journal.decide(
            lambda state: (fact, words) if _is_wanted(state, machine) else None
        )
        if noted:
            self._say(noted.words)

    async def _drain(self, machine: Machine, look: Look) -> None:
        agent = look.agents.get(machine.name)
        if agent and agent.takes:
            reason = reason_of(self._journal.name, machine.cause)
            await self._client.order(DrainRequested(machine.name, reason))

    async def _resume(self, machine: Machine, look: Look) -> None:
        agent = look.agents.get(machine.name)
        if agent and agent.drained:
            reason = reason_of(self._journal.name, "it is wanted again")
            await self._client.order(ResumeRequested(machine.name, reason))

    async def _end(self, machine: Machine, driver: Driver) -> None:
        try:
            await driver.end(machine.name, machine.ref)
        except Exception as error:
            # Each driver's library has errors of its own. The next round tries again.
            self._say(f"{machine.name} could not be ended: {error}")


def _is_wanted(state: State, machine: Machine) -> bool:
    known = state.machines.get(machine.name)
    return known is not None and known.stage is Stage.WANTED
