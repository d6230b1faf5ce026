"""How many tasks of a queue may run at once, as far as the agent has heard, and who holds permits.

What is heard here only says when it is worth while to take a hint: whether there is a permit is
decided with the claim, in the log. See docs/decisions/0024.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence

from ...core.author import Author
from ...core.bus.connect import Bus
from ...core.decide import DeclareLost, Rejected
from ...core.errors import Conflict, NotFound
from ...core.fleet.presence import AgentPresence, decode_presence, presence_key
from ...core.fleet.resources import user_token
from ...core.handle import find, handle
from ...core.ports import BusAway, Stored, WrongSequence
from ...core.queueing.granting import Tally, load_tally, read_tally, returning, tally_entry
from ...core.queueing.permits import Permit, Permits
from ...core.state import Attempt, Task
from ...core.subjects import Level, parse_permits, permits

log = logging.getLogger(__name__)

LOOKS = 2
"""Looks at those who hold permits, within a lease."""


class Limits:
    """The tallies of our queues."""

    def __init__(
        self,
        bus: Bus,
        author: Author,
        queues: Sequence[str],
        lease: float,
        clock: Callable[[], float],
    ) -> None:
        """`clock` gives seconds that never go back; it is also the clock of `bus.since`."""
        self._bus = bus
        self._author = author
        self._lease = lease
        self._clock = clock
        self._tallies = {name: Tally(Permits(queue=name, reason="")) for name in queues}
        self.running: Callable[[], Iterable[Task]] = tuple
        """The tasks that this agent has now."""
        self._adopted: set[str] = set()
        """Those of them that hold a permit of which their claim does not know."""
        self._silent: dict[Permit, float] = {}
        """Whose holder does not name them, and since when."""
        self.known = asyncio.Event()
        """Set when all of them have been looked at: before that, nothing may be taken."""

    # --- what the taker and the claimer ask -----------------------------------------------------

    def open(self, level: Level) -> bool:
        """Whether a task of this level may get a permit, or needs none."""
        known = self._of(level.queue)
        if known is None or known.full:
            return known is None
        user = level.request.user
        return not user or user not in map(user_token, known.full_users)

    def limited(self, queue: str) -> bool:
        """Whether a task of the queue needs a permit."""
        known = self._of(queue)
        return known is not None and known.limited

    async def look(self, queue: str, user: str) -> bool:
        """Learn of the queue's permits anew; whether this user can get none though others can.

        Raises `BusAway`.
        """
        self._saw(queue, await self._load(queue))
        known = self._of(queue)
        return known is not None and not known.full and user in known.full_users

    def _of(self, queue: str) -> Permits | None:
        tally = self._tallies.get(queue)
        return tally.permits if tally else None

    # --- listening ------------------------------------------------------------------------------

    async def run(self, changed: Callable[[], Awaitable[None]]) -> None:
        """Listen and look without end; `changed` is told when there are permits again, or none."""
        start = await self._look_at_all()
        self.known.set()
        await asyncio.gather(self._listen(start, changed), self._look_now_and_then())

    async def _look_at_all(self) -> int:
        while True:
            try:
                start = await self._bus.log.last_seq() + 1
                for name in self._tallies:
                    self._saw(name, await self._load(name))
                return start
            except BusAway as away:
                await self._bus.wait(away)

    async def _listen(self, start: int, changed: Callable[[], Awaitable[None]]) -> None:
        subjects = [permits(name) for name in self._tallies]
        async with self._bus.log.follow(start, subjects) as batches:
            async for batch in batches:
                before = self._closed
                for stored in batch:
                    name = parse_permits(stored.subject)
                    if name:
                        self._saw(name, _readable(name, stored))
                if self._closed != before:
                    await self._adopt_all()
                    await changed()

    async def _load(self, queue: str) -> Tally:
        stored = await self._bus.log.last(permits(queue))
        return _readable(queue, stored) if stored else Tally(Permits(queue=queue, reason=""))

    def _saw(self, queue: str, tally: Tally) -> None:
        known = self._tallies.get(queue)
        if known and tally.seq > known.seq:
            self._tallies[queue] = tally

    @property
    def _closed(self) -> list[tuple[bool, frozenset[str], bool]]:
        """What decides whether a task may get a permit, by queue."""
        known = [tally.permits for tally in self._tallies.values()]
        return [(one.full, one.full_users, one.limited) for one in known]

    # --- a limit that came later than a claim ---------------------------------------------------

    async def _adopt_all(self) -> None:
        """Have permits for what this agent runs in queues that had no limit when it was claimed."""
        for task in self.running():
            if self.limited(task.place.queue) and task.live and not task.live.permit:
                try:
                    await self._adopt(task, task.live)
                except (BusAway, Conflict) as error:
                    log.info("task %s runs without a permit: %s", task.id, error)

    async def _adopt(self, task: Task, live: Attempt) -> None:
        permit = Permit(task.id, task.spec.user, live.agent, live.instance)
        while True:
            tally = await load_tally(self._bus.log, task.place.queue)
            if tally.permits.holds(task.id) or not tally.permits.limited:
                break
            after = tally.permits.taken(permit, f"task {task.id} was claimed before the limit")
            entry = tally_entry(self._author, tally, after)
            try:
                await self._bus.log.append(entry)
                break
            except WrongSequence:
                continue
        self._adopted.add(task.id)

    async def ended(self, task: Task) -> None:
        """An attempt of ours has ended: it may hold a permit of which its claim does not know."""
        known = self._of(task.place.queue)
        if task.id not in self._adopted and not (known and known.holds(task.id)):
            return
        self._adopted.discard(task.id)
        if task.past and task.past[-1].permit:
            return  # it was returned with the end
        try:
            await self.drop(task.place.queue, task.id)
        except (BusAway, Conflict) as error:
            log.info("the permit of task %s is returned later: %s", task.id, error)

    # --- permits whose holders are gone ---------------------------------------------------------

    async def _look_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self._lease / LOOKS)
            try:
                await self.look_after_holders()
            except BusAway as away:
                log.info("nobody looks after permits: %s", away)
                await self._bus.wait(away)

    async def look_after_holders(self) -> None:
        """Return the permits of attempts that nobody has named for a lease, where one is wanted.

        Whoever takes over a silent agent's task returns its permit, too; but a queue that is full
        of silent attempts is not looked into. What `claim` knows by the hint's redelivery is here
        known by a lease of our own clock.
        """
        known = [tally.permits for tally in self._tallies.values()]
        held = [(one.queue, p) for one in known if one.full or one.full_users for p in one.held]
        listed = await self._listed() if held else frozenset()
        now, before = self._clock(), self._silent
        self._silent = {
            permit: before.get(permit, now)
            for _, permit in held
            if (permit.instance, permit.task) not in listed and now - self._bus.since >= self._lease
        }
        for queue, permit in held:
            if now - self._silent.get(permit, now) >= self._lease:
                await self._settle(queue, permit)

    async def _listed(self) -> frozenset[tuple[str, str]]:
        """The instances that are there, each with a task that it says to run."""
        agents = map(decode_presence, (await self._bus.presence.all()).values())
        return frozenset((one.instance, run.task) for one in agents if one for run in one.running)

    async def _holder(self, permit: Permit) -> AgentPresence | None:
        key = presence_key(permit.agent, permit.instance)
        return decode_presence(await self._bus.presence.get(key))

    async def _settle(self, queue: str, permit: Permit) -> None:
        try:
            task = await find(self._bus.log, permit.task)
        except NotFound:
            task = None
        live = task.live if task else None
        if task and live and live.instance == permit.instance:
            holder = await self._holder(permit)
            if holder and live.claim in holder.claims:
                return
            why = f"agent {live.agent} went silent for longer than its lease"
            try:
                await handle(self._bus.log, self._author, task, DeclareLost(live.number, why))
            except Rejected:
                return  # it spoke, or somebody was faster: the next look will tell
        await self.drop(queue, permit.task)

    async def drop(self, queue: str, task: str) -> None:
        """Return a permit whose attempt is not live, if it is held still. Raises `BusAway`."""
        while True:
            try:
                entries = await returning(self._bus.log, self._author, queue, task)
                if not entries:
                    return
                await self._bus.log.append_all(entries)
            except WrongSequence:
                continue


def _readable(queue: str, stored: Stored) -> Tally:
    """The tally in a stored event; from one that cannot be read nobody gets a permit here."""
    try:
        return read_tally(queue, stored)
    except Conflict as error:
        log.warning("nothing is taken from queue %s: %s: %s", queue, error, error.why)
        return Tally(Permits(queue=queue, reason=str(error), most=0), stored.seq)
