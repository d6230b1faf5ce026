"""From a hint to a claim: may this agent run the task, and does the log agree?

A hint is only a hint. The truth is the task's own subject in the log, and the claim is an append
there that names the event it expects to follow. See docs/decisions/0001.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol, TypeVar

from ...core import state
from ...core.author import Author
from ...core.bus.connect import Bus
from ...core.decide import Claim, DeclareLost, NoPermit, Rejected
from ...core.errors import NotFound
from ...core.fleet.presence import decode_presence, presence_key
from ...core.handle import from_hint, handle, load, refresh, tell_holders, tell_the_rest
from ...core.ports import BusAway, Delivery, Stored
from ...core.state import Attempt, Task
from ..config import Config
from ..gang.admission import Admission
from ..gpus.pool import NOTHING, Assignment

_T = TypeVar("_T")

log = logging.getLogger(__name__)

LOOK_AGAIN = 1.0
"""Seconds until the next look at a task whose holder may be about to vanish."""


USER_PAUSE = 1.0
"""Seconds until the next try for a task whose user has as many running as may be."""


class Permitting(Protocol):
    """What tells of limits on how many tasks of a queue run at once."""

    def limited(self, queue: str) -> bool:
        """Whether a task of the queue needs a permit."""
        ...

    async def look(self, queue: str, user: str) -> bool:
        """Learn of the queue's permits anew; whether this user can get none though others can."""
        ...


class Claimer:
    """Turns hints into claims for one agent."""

    def __init__(
        self,
        bus: Bus,
        author: Author,
        config: Config,
        instance: str,
        clock: Callable[[], float],
    ) -> None:
        """`clock` gives seconds that never go back; it is also the clock of `bus.since`."""
        self._bus = bus
        self._author = author
        self._config = config
        self._instance = instance
        self._clock = clock
        self.gangs: Admission | None = None
        """What tells whether a gang would find room; without it every member is claimed."""
        self.limits: Permitting | None = None
        """What tells of the queues' limits; without it no claim needs a permit."""
        self._unlisted: dict[int, float] = {}
        self._retries: dict[int, float] = {}
        """By sequence, when we first saw a `retry` whose delay was not over."""

    async def claim(
        self, delivery: Delivery, slot: int, assignment: Assignment = NOTHING
    ) -> Task | None:
        """The task, claimed for `slot`; None if there is nothing to run for this hint.

        A hint that is of no use is acknowledged, one that may be of use later is put off.
        """
        try:
            task = await self._patiently(lambda: self._look(delivery))
        except NotFound as error:
            log.warning("hint %d of task %s: %s", delivery.seq, delivery.task, error)
            await delivery.later(self._config.lease)
            return None
        while True:
            match task.state:
                case state.Held():
                    # Whoever lets it go puts a new hint into the queue.
                    await delivery.done()
                    return None
                case state.Ended():
                    if task.awaited_by:
                        await tell_the_rest(self._bus.log, self._author, task, self._wait)
                    await delivery.done()
                    return None
                case state.Claimed(attempt) | state.Running(attempt):
                    if not await self._take_over(delivery, task, attempt):
                        return None
                    task = await self._declare_lost(task, attempt)
                case state.Queued(delay=delay, failure=failure):
                    if delivery.seq < task.place.hint:
                        # It was moved: a later message leads to where it stands now.
                        await delivery.done()
                        return None
                    if (rest := await self._rest(failure, delay)) > 0:
                        await delivery.later(rest)
                        return None
                    if (pause := await self._gang_is_away(task)) > 0:
                        await delivery.later(pause)
                        return None
                    claim = Claim(
                        self._config.name,
                        self._instance,
                        slot,
                        delivery.seq,
                        self._config.lease,
                        failure,
                        assignment.ids,
                        assignment.gpu_memory,
                        self._permit(delivery.level.queue),
                    )
                    try:
                        written = await handle(self._bus.log, self._author, task, claim, self._wait)
                        assignment.confirm(written.task.seq)
                        return written.task
                    except NoPermit:
                        pause = await self._until_permit(delivery.level.queue, task.spec.user)
                        await delivery.later(pause)
                        return None
                    except Rejected as error:
                        fresh = await self._patiently(lambda: refresh(self._bus.log, task))  # noqa: B023
                        if isinstance(fresh.state, state.Queued) and fresh.seq == task.seq:
                            log.warning("task %s cannot be claimed: %s", task.id, error)
                            await delivery.later(self._config.lease)
                            return None
                        task = fresh

    async def _gang_is_away(self, task: Task) -> float:
        """Seconds until the next look at a task whose gang would not find room, else 0."""
        gangs = self.gangs
        if task.spec.gang is None or gangs is None:
            return 0.0
        return await self._patiently(lambda: gangs.put_off(task))

    def _permit(self, queue: str) -> str:
        """The queue, if a task needs a permit to be live there."""
        return queue if self.limits and self.limits.limited(queue) else ""

    async def _until_permit(self, queue: str, user: str) -> float:
        """Seconds until it makes sense to hand out a hint again whose task got no permit.

        The queue is not looked into as long as it is full. But one user's tasks would be handed
        out again and again while those of others could run.
        """
        assert self.limits is not None
        others_may = await self._patiently(partial(self.limits.look, queue, user))
        return USER_PAUSE if others_may else 0.0

    async def _rest(self, failure: int, delay: float) -> float:
        """Seconds that are left of the delay after the `failure` at that sequence.

        The hint comes back by itself when it is over, but it may come sooner: the word that put
        it off was lost, the result was handed in later, or it is another hint. The server's clock
        says since when the task waits; should that be turned back, our own counts, too.
        """
        if not delay:
            return 0.0
        first_seen = self._retries.setdefault(failure, self._clock())
        age = await self._patiently(lambda: self._bus.log.age(failure))
        rest = delay - max(age, self._clock() - first_seen)
        if rest <= 0:
            del self._retries[failure]
        return max(0.0, rest)

    async def _look(self, delivery: Delivery) -> Task:
        """The task as the log has it; a first delivery's own spec is enough to try a claim."""
        _, task, origin = from_hint(Stored(delivery.seq, "", delivery.data))
        if task is None or task.spec.after or delivery.redelivered:
            return await load(self._bus.log, origin)
        return task

    async def _declare_lost(self, task: Task, attempt: Attempt) -> Task:
        why = f"agent {attempt.agent} went silent for longer than its lease"
        command = DeclareLost(attempt.number, why)
        try:
            written = await handle(self._bus.log, self._author, task, command, self._wait)
            await tell_holders(self._bus.calls, written.others)
            return written.task
        except Rejected:
            return await self._patiently(lambda: refresh(self._bus.log, task))

    async def _take_over(self, delivery: Delivery, task: Task, attempt: Attempt) -> bool:
        """Whether a task that somebody holds is ours to take; if not, the hint is dealt with."""
        if attempt.hint != delivery.seq:
            # The holder keeps another hint alive. Two hints for one task that both led to a
            # takeover would take it over from each other for ever.
            await delivery.done()
            return False
        verdict = await self._patiently(lambda: self._is_silent(delivery, attempt))
        if not verdict:
            await delivery.later(LOOK_AGAIN)
        return verdict

    async def _is_silent(self, delivery: Delivery, attempt: Attempt) -> bool:
        if not delivery.redelivered or self._clock() - self._bus.since < attempt.lease:
            # After a server's restart everybody gets a lease to come back.
            return False
        key = presence_key(attempt.agent, attempt.instance)
        presence = decode_presence(await self._bus.presence.get(key))
        if presence is None:
            self._unlisted.pop(attempt.claim, None)
            return True
        if attempt.claim in presence.claims:
            self._unlisted.pop(attempt.claim, None)
            return False
        # It lives but does not name this claim: it may have made it since it last spoke.
        first_seen = self._unlisted.setdefault(attempt.claim, self._clock())
        return self._clock() - first_seen > attempt.lease

    async def _wait(self, away: BusAway) -> None:
        await self._bus.wait(away)

    async def _patiently(self, act: Callable[[], Awaitable[_T]]) -> _T:
        while True:
            try:
                return await act()
            except BusAway as away:
                await self._bus.wait(away)
