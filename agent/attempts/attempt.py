"""One attempt, from its claim to its end, as one pipe: code, environment, command, record.

Whatever happens, an attempt ends in one of a closed list of ways, and its end is decided by
`core.decide`. If the claim turns out to be lost, it ends its processes and says nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from ...core import events, notebooks, state
from ...core.decide import (
    BeginPhase,
    ClaimLost,
    Command,
    EndPhase,
    Finish,
    GiveBack,
    Holder,
    Rejected,
    Start,
)
from ...core.errors import EvqError
from ...core.events import Launch
from ...core.handle import refresh
from ...core.ports import Delivery
from ...core.sdk.author import now
from ...core.spec import Notebook
from ...core.state import Task
from .. import writing
from ..gang.gather import Gather, Withdrawn
from ..gpus.pool import ANY, Assignment
from ..limits.confinement import Confinement
from ..means import Means
from ..reporting.channel import Channel
from ..reporting.telemetry import Recorder
from ..secret_sources import NO_SECRETS
from ..supervision.forkserver import Supervisor
from ..trackers.tensorboard.finding import file_time
from . import endings, launch, notebook
from .access import PORT_TOKEN, secrets_of
from .beginning import Beginning
from .carrier import Carrier
from .endings import Ending, Stopped
from .execution import Execution
from .left import Left
from .place import Place
from .preparation import Preparation, Ready
from .results import Result
from .tracking import Tracking

log = logging.getLogger(__name__)
T = TypeVar("T")


class Attempt:
    """A claimed task on its way through one slot."""

    def __init__(
        self, means: Means, task: Task, delivery: Delivery, channel: Channel, gpus: Assignment = ANY
    ) -> None:
        live = task.live
        assert live is not None
        self.task = task
        self.claim, self.slot, self.gpus = live.claim, live.slot, live.gpus
        self.since, self.holder = live.claimed, Holder(means.instance, live.number)
        self.assignment = gpus
        self._means = means
        self._delivery, self._channel = delivery, channel
        self._ending: Ending | None = None
        self._supervisors: tuple[Supervisor, ...] = ()
        self._frozen = False
        self._recorder = Recorder(
            means.outbox,
            task.spec.queue,
            task.id,
            means.config.name,
            live.number,
            live.claim,
            means.config.log_bytes,
            means.redactor,
        )
        self._secrets = NO_SECRETS
        self.place: Place | None = None
        """Where its command runs, as long as it does."""
        self._launch: Launch | None = None
        self._beginning = Beginning(self.write, self._keep)
        self._waiting: asyncio.Future[Any] | None = None
        self._work = means.config.state / "work" / f"{task.id}-{live.number}"
        self._left = Left(self._work)
        self._preparation = Preparation(self, means, self._left, channel, self._recorder)
        self._confinement = Confinement(means, task.spec, self._work.name)
        self._carrier = Carrier(self, means, self._recorder)
        self._tracking = Tracking(means, task, channel.path.name, self._recorder)

    @property
    def said(self) -> int:
        """When it spoke last, in microseconds since 1970."""
        return self._recorder.said

    @property
    def port_token(self) -> str:
        """What a program at one of its ports may ask for; empty if it has none."""
        return self._secrets.variables.get(PORT_TOKEN, "")

    def say(self, text: str) -> None:
        """Put a line of the agent's own among those of the task."""
        self._recorder.say(text)

    # --- the pipe -----------------------------------------------------------------------------

    async def run(self) -> Finish | GiveBack | None:
        """Everything up to the end of the last process; the end itself is `record`'s."""
        means = self._means
        supervisor = await means.forkserver.supervisor()
        self.watch(supervisor)
        means.keeper.hold(self)
        self._channel.attach(self._recorder.heard, self._recorder.garbled, self._carrier.asked)
        here = Place(supervisor, Execution(supervisor, self._recorder))
        end: Finish | GiveBack | None = None
        try:
            end = await self._carry_out(here)
            return end
        finally:
            self._supervisors = ()
            self.place = None
            means.forkserver.release(supervisor)
            await self._tracking.leave()
            await self._preparation.leave()
            await self._confinement.leave()
            self._channel.detach()
            self._recorder.close()
            self._left.launched = self._launch
            await self._left.put_away(means, self.task, self.holder.attempt, end)

    async def _carry_out(self, here: Place) -> Finish | GiveBack | None:
        """The steps, and each way in which one of them can fail."""
        try:
            self._confinement.enter(here.supervisor, self._recorder.say)
            return await self._prepare_and_run(here)
        except Withdrawn:
            return None
        except (ClaimLost, Stopped):
            return endings.before_command(self.holder, self._ending)
        except tuple(endings.SET_UP_CAUSES) as error:
            return self._failed_by(self._recorder.redactor.error(error))
        except OSError as error:
            return endings.by_agent(self.holder, self._recorder.redactor.text(str(error)))

    async def _prepare_and_run(self, here: Place) -> Finish | GiveBack | None:
        if self.task.spec.secrets or self.task.spec.client or self.task.spec.ports:
            await self._find_secrets()
        ready = await self._preparation.run(here, self._secrets)
        if self.task.spec.gang:
            await Gather(self, self._means, self._recorder.say).run()
        return await self._run_command(ready)

    async def _find_secrets(self) -> None:
        async with self.phase("secrets") as phase:
            self._secrets = found = await secrets_of(self._means, self.task.spec_now)
            self._recorder.redactor = self._means.redactor.knowing(found.values)
            phase.detail = ", ".join(f"{name} ({where})" for name, where in found.places.items())

    async def _run_command(self, ready: Ready) -> Finish | GiveBack | None:
        self._stop_if_told()
        spec, tree, execution = self.task.spec, ready.tree, ready.place.execution
        command = launch.command(spec, tree, ready.built)
        variables = launch.variables(
            self._means,
            self.task,
            self.holder.attempt,
            ready.built,
            self._channel.path,
            ready.place,
            self._secrets,
        ) | self._means.pool.variables(self.assignment)
        variables |= await self._tracking.variables(variables, ready.place)
        folder = launch.folder(spec, tree)
        began, since = time.monotonic(), file_time(tree)
        self.place = ready.place  # before the command can ask for a port of it
        pid = await execution.spawn(command, cwd=folder, env=variables)
        self._tracking.begin(ready, folder, variables, since)
        self._confinement.started(pid)
        self._means.watch.started(self.claim, self.task.id, self.holder.attempt, pid)
        self._launch = Launch(now(), pid, tuple(command), self._means.host, str(tree))
        self._beginning.tell_soon(Start(self.holder, self._launch))
        timer = self._arm_timeout(self._confinement.seconds)
        try:
            exit = await execution.wait()
        finally:
            self.place = None
            self._beginning.tell_no_more()
            self._means.watch.ended(self.claim)
            if timer:
                timer.cancel()
            await self._tracking.finish()
        self._channel.drain()  # the end must hold all that the command gave out
        end = endings.of_command(
            self.holder,
            self._launch,
            exit,
            time.monotonic() - began,
            self._ending,
            self._recorder.last_error,
            self._confinement.out_of_time,
            self._memory_death(exit.exit_code),
            self._recorder.outputs,
        )
        end = await self._beginning.told(end)
        if end and isinstance(spec.entry, Notebook):
            file, redactor = folder / spec.entry.path, self._recorder.redactor
            stored = await notebook.keep(self._means, file, redactor)
            await self.write(EndPhase(self.holder, notebooks.PHASE, 0.0, None, stored or ""))
        return end

    def _memory_death(self, exit_code: int) -> str:
        """Why it is known that want of memory ended the command; empty if it is not."""
        # A container has a count of its own, for its own limit and for want on the whole machine.
        if (counted := self._preparation.memory_evidence()) is not None:
            return counted
        return self._confinement.memory_death(exit_code, self._recorder.say)

    def _arm_timeout(self, seconds: float | None) -> asyncio.TimerHandle | None:
        if seconds is None:
            return None
        return asyncio.get_running_loop().call_later(seconds, self._stop, Ending.TIME)

    def _failed_by(self, error: EvqError) -> Finish | GiveBack | None:
        """The end after a step of set-up failed, or was ended."""
        if self._ending:
            return endings.before_command(self.holder, self._ending)
        writing.say_error(self._recorder, error)
        memory = self._preparation.memory_evidence() or self._confinement.memory_death_in_set_up()
        return endings.of_set_up(self.holder, error, memory)

    def failed_here(self) -> Finish:
        """The end of an attempt that the agent itself could not carry through."""
        return endings.by_agent(self.holder, "the agent failed; its own log says how")

    async def record(self, end: Finish | GiveBack | None) -> None:
        """Bring the end into the log, after all that the attempt said, and settle the hint."""
        means = self._means
        try:
            if end is None:
                log.info(
                    "task %s: attempt %d is not ours any more", self.task.id, self.holder.attempt
                )
            else:
                await writing.all_said(means.outbox, self._recorder, partial(self._keep, end))
                await self.settle(await self.write(end))
        except Rejected as error:
            log.info("task %s: the end was refused: %s", self.task.id, error)
        finally:
            means.keeper.let_go(self)
        # An agent that leaves without its server does not come here: the next one hands it in.
        means.results.forget(self._work.name)

    def _keep(self, end: Command) -> None:
        """Put the end on disk, in case this process does not live until the server is back."""
        if isinstance(end, Finish | GiveBack):
            self._means.results.keep(self._work.name, Result.of(self.task.origin, end))

    # --- writing ------------------------------------------------------------------------------

    async def write(self, command: Command) -> events.Lifecycle:
        """Carry a command out on the task; waits for the server as long as it takes."""
        keep = partial(self._keep, command)
        written = await writing.write(self._means, self.task, command, keep)
        self.task = written.task
        if written.task.abort:
            # The word of it may have come before there was an attempt to hear it.
            self._stop(Ending.ABORT)
        elif written.task.live and written.task.live.disband:
            self._stop(Ending.GANG)
        return written.event

    async def settle(self, event: events.Lifecycle) -> None:
        """The hint has done its work, or is wanted again."""
        await writing.settle(self._delivery, event)

    @asynccontextmanager
    async def phase(self, name: str) -> AsyncIterator[launch.PhaseNotes]:
        """A step of set-up: its begin and its end are events."""
        self._stop_if_told()
        await self.write(BeginPhase(self.holder, name))
        notes = launch.PhaseNotes()
        began = time.monotonic()
        try:
            yield notes
        except EvqError as error:
            notes.detail = error.what
            raise
        finally:
            if self._ending is None:
                # So that whoever follows the task reads the step's output before its end.
                self._recorder.flush()
                seconds = round(time.monotonic() - began, 6)
                if notes.cached is False:
                    self._means.caretaker.built()
                detail = self._recorder.redactor.text(notes.detail)
                end = EndPhase(self.holder, name, seconds, notes.cached, detail, notes.commit)
                await self.write(end)
        self._stop_if_told()

    def _stop_if_told(self) -> None:
        if self._ending:
            raise Stopped

    async def until_told(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives, unless the attempt is told to end: nobody waits for a download then.

        Only for what no supervisor ends.
        """
        self._waiting = task = asyncio.ensure_future(work)
        try:
            return await task
        except asyncio.CancelledError:
            self._stop_if_told()
            raise
        finally:
            self._waiting = None

    # --- the lease ----------------------------------------------------------------------------

    def renew(self, deadline: float) -> None:
        """Tell the supervisors until when the command may run."""
        for supervisor in self._supervisors:
            supervisor.lease(deadline, self._means.config.on_disconnect)

    def watch(self, supervisor: Supervisor) -> None:
        """From now on a supervisor hears of the lease, and of the attempt's end."""
        self._supervisors += (supervisor,)
        supervisor.on_frozen = self._froze
        if self.assignment.held:
            supervisor.hold(self.assignment.held.descriptor)
        self.renew(self._means.keeper.deadline)

    def _froze(self) -> None:
        """The supervisor saw the deadline pass. Only a look at the log may thaw it."""
        self._frozen = True
        self._recorder.say("frozen: the server has been out of reach for most of a lease")

    async def check(self) -> None:
        """Hear from the log whether the claim still stands and whether an end is wanted."""
        await self._delivery.working()
        fresh = await refresh(self._means.bus.log, self.task)
        live = fresh.live
        if live is None or live.claim != self.claim:
            if isinstance(self.task.state, state.Claimed | state.Running):
                self._stop(Ending.LOST)
        elif fresh.abort:
            self._stop(Ending.ABORT)
        elif live.disband:
            self._stop(Ending.GANG)
        elif self._frozen and self._supervisors:
            self._frozen = False
            for supervisor in self._supervisors:
                supervisor.thaw()
            self._recorder.say("thawed: the claim still stands")

    def give_back(self) -> None:
        """End the attempt so that another agent can run the task."""
        self._stop(Ending.GIVE_BACK)

    async def without_processes(self) -> None:
        """Return when no command of it runs."""
        for supervisor in self._supervisors:
            await supervisor.without_command()

    def leave_word(self) -> None:
        """Put on disk that the task was given back, unless a better end lies there."""
        if not self._means.results.has(self._work.name):
            self._keep(endings.given_back(self.holder))

    def _stop(self, why: Ending) -> None:
        """End the command; the first reason counts, but a lost claim overrules all."""
        if self._ending is Ending.LOST or (self._ending and why is not Ending.LOST):
            return
        self._ending = why
        if self._waiting:
            self._waiting.cancel()
        for supervisor in self._supervisors:
            if why is Ending.LOST:
                supervisor.kill()
            else:
                supervisor.stop(self.task.spec.grace or self._means.config.grace)
