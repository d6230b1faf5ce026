"""What a user can ask of evq, as a Python object. The command line stands on it.

async with open_client(Login(server="nats://127.0.0.1:4222")) as client:
    receipt = await client.enqueue(spec)
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import msgspec

from .. import subjects, wire
from ..bus.connect import Bus, Login, connect
from ..decide import Abort, Dequeue, Move, Requeue, decide
from ..errors import Conflict, NotFound, ProjectorAway, UsageError
from ..events import Again, AgentOrder, Enqueued
from ..fleet.presence import AgentPresence, decode_presence
from ..fleet.resources import request_of
from ..gangs.gang import named_members
from ..handle import find, handle, load_queue, load_queues, refresh, tell_holders
from ..ids import TASK_ID_LENGTH, check_name, is_task_id, is_task_prefix, task_id_for_key
from ..ports import BusAway, Entry, WrongSequence
from ..questions import Head, Named, Sql
from ..queueing.granting import Tally, load_tally
from ..queueing.permits import Permits
from ..queueing.queues import QueueEvent, QueueState, check_change, evolve_queue
from ..spec import Spec, check_spec
from ..state import Task
from ..subjects import Level
from .author import Author, new_task_id
from .awaiting import whole_gangs, words_for
from .limiting import limit_queue

ANSWER_SECONDS = 35.0
POSITION_SECONDS = 2.0
BATCH = 500
FAIR_SECONDS = 2.0
"""How long a client may be wrong about a queue that was made fair."""


class Receipt(msgspec.Struct, frozen=True):
    """An enqueued task. `new` is false when its idempotency key had been used before."""

    task: str
    seq: int
    new: bool


class Client:
    """A connection to evq. Every method may raise an `EvqError` that says what to do."""

    def __init__(self, bus: Bus, author: Author | None = None) -> None:
        self.bus = bus
        self.author = author or Author()
        self._fair: dict[str, tuple[float, bool]] = {}
        """By queue, until when it is known whether it is fair."""

    # --- enqueue ------------------------------------------------------------------------------

    async def enqueue(self, spec: Spec) -> Receipt:
        """Enqueue one task. When this returns, the server has it on disk.

        One for several nodes is a gang: the receipt is that of its rank 0, which stands for all.
        """
        spec = await self._shared(check_spec(spec))
        task = task_id_for_key(spec.key) if spec.key else new_task_id()
        level = Level.of(spec)
        await self._ensure(level)
        if spec.key and (known := await self._known(task)):
            return known
        spec = await whole_gangs(self.bus.log, spec)
        members = named_members(spec, task) if spec.nodes > 1 else [(task, spec)]
        entries = [self._entry(level, name, one) for name, one in members]
        try:
            if spec.after:
                return Receipt(task, await self._store_awaiting(members, entries), True)
            if len(entries) > 1:
                return Receipt(task, await self._append_all(entries) - len(entries) + 1, True)
            seq = await self._append(entries[0])
            # All who enqueue one key at once share the message's id, and each is told it is there.
            new = not spec.key or await self._is_ours(seq, entries[0])
            return Receipt(task, seq, new)
        except WrongSequence:
            known = await self._known(task)
            if known is None:
                raise Conflict(f"task id {task} is taken", fix="enqueue again") from None
            # Without a key nobody else can know the id: it was stored, and only the answer lost.
            return Receipt(task, known.seq, not spec.key)

    async def enqueue_many(self, specs: Sequence[Spec]) -> list[Receipt]:
        """Enqueue many tasks in a few atomic batches; keys are not allowed here."""
        if any(spec.key for spec in specs):
            raise UsageError("a batch of tasks cannot carry idempotency keys")
        if any(spec.nodes > 1 for spec in specs):
            raise UsageError("a gang is enqueued on its own", fix="enqueue it by `enqueue`")
        wanted = [await self._shared(check_spec(spec)) for spec in specs]
        for level in {Level.of(spec) for spec in wanted}:
            await self._ensure(level)
        receipts: list[Receipt] = []
        for part in _parts([await whole_gangs(self.bus.log, spec) for spec in wanted]):
            tasks = [new_task_id() for _ in part]
            entries = [
                self._entry(Level.of(spec), task, spec)
                for task, spec in zip(tasks, part, strict=True)
            ]
            if any(spec.after for spec in part):
                first = await self._store_awaiting(list(zip(tasks, part, strict=True)), entries)
            else:
                first = await self.bus.log.append_all(entries) - len(part) + 1
            receipts += [Receipt(task, first + n, True) for n, task in enumerate(tasks)]
        return receipts

    async def _store_awaiting(
        self, tasks: Sequence[tuple[str, Spec]], entries: Sequence[Entry]
    ) -> int:
        """Store `enqueued` events together with all that their dependencies ask for, and return
        the first one's sequence. Raises `WrongSequence` if a task is there already."""
        while True:
            words = await words_for(self.bus.log, self.author, tasks)
            try:
                last = await self._append_all([*entries, *words])
            except WrongSequence:
                # One that is awaited has gone on meanwhile, or its answer to us was lost.
                stored = await self.bus.log.history(entries[0].subject)
                if not stored:
                    continue
                if stored[0].data != entries[0].data:
                    raise
                return stored[0].seq
            return last - len(words) - len(entries) + 1

    async def _append_all(self, entries: Sequence[Entry]) -> int:
        try:
            return await self.bus.log.append_all(entries)
        except BusAway:
            # The expectations make the repetition harmless.
            return await self.bus.log.append_all(entries)

    def _entry(self, level: Level, task: str, spec: Spec) -> Entry:
        envelope = self.author.envelope(Enqueued(task, spec))
        data = wire.encode(envelope)
        if len(data) > 512 * 1024:
            raise UsageError(
                f"the task's description is too long ({len(data) // 1024} KiB)",
                why="arguments, variables and parameters may be 512 KiB together",
                fix="put them into a file of the task's code",
            )
        return Entry(subjects.hint(level, task), data, f"enqueue-{task}", expect=0)

    async def _shared(self, spec: Spec) -> Spec:
        """The task in its user's own lane, if its queue is fair."""
        now, known = time.monotonic(), self._fair.get(spec.queue)
        if known is None or known[0] < now:
            try:
                fair = (await self.queue(spec.queue)).fair
            except BusAway:
                return spec  # a server that evq has not used before
            known = self._fair[spec.queue] = (now + FAIR_SECONDS, fair)
        return msgspec.structs.replace(spec, fair=True) if known[1] else spec

    async def _ensure(self, level: Level) -> None:
        try:
            await self.bus.hints.ensure(level)
        except BusAway:
            # A server that evq has not used before has no streams yet, and answers nothing.
            await self.bus.prepare()
            await self.bus.hints.ensure(level)

    async def _append(self, entry: Entry) -> int:
        try:
            return await self.bus.log.append(entry)
        except BusAway:
            # The id and the expectation make the repetition harmless.
            return await self.bus.log.append(entry)

    async def _is_ours(self, seq: int, entry: Entry) -> bool:
        stored = await self.bus.log.get(seq)
        return stored is not None and stored.data == entry.data

    async def _known(self, task: str) -> Receipt | None:
        hints = await self.bus.log.history(subjects.any_hint(task))
        return Receipt(task, hints[0].seq, False) if hints else None

    async def agents(self) -> list[AgentPresence]:
        """The agents that are there now. Of one that was killed and started again both runs are
        present for a lease: the later one counts."""
        try:
            values = await self.bus.presence.all()
        except BusAway:
            return []
        found = [decode_presence(value) for value in values.values()]
        in_order = sorted((agent for agent in found if agent), key=lambda agent: agent.since)
        latest = {agent.agent: agent for agent in in_order}
        return [latest[name] for name in sorted(latest)]

    async def order(self, order: AgentOrder) -> None:
        """Tell an agent, by an event about it, which it hears at once or when it starts."""
        envelope = self.author.envelope(order)
        entry = Entry(subjects.agent_events(order.agent), wire.encode(envelope), envelope.id)
        await self._append(entry)

    async def is_agent(self, name: str) -> bool:
        """Whether there is, or has been, an agent of this name."""
        return await self.bus.log.last(subjects.agent_events(name)) is not None

    # --- one task -----------------------------------------------------------------------------

    async def resolve(self, selector: str) -> str:
        """The whole id that `selector` means: an id, or a prefix that only one id has."""
        text = selector.lower()
        if is_task_id(text):
            return text
        if not is_task_prefix(text):
            raise UsageError(
                f"{selector!r} is no task",
                why=f"a task id has {TASK_ID_LENGTH} letters and digits; a prefix will do",
                fix="evq ls, or @ for the last task you enqueued",
            )
        rows = [row async for row in self.rows(Named("resolve", {"prefix": text}))]
        if not rows:
            raise NotFound(f"no task's id begins with {text}", fix="evq ls")
        if len(rows) > 1:
            some = ", ".join(str(row["task"]) for row in rows[:5])
            raise UsageError(
                f"{text} is the beginning of several task ids", why=some, fix="type one more letter"
            )
        return str(rows[0]["task"])

    async def get(self, task: str) -> Task:
        """The task with this whole id, folded from the log as of now."""
        return await find(self.bus.log, task)

    async def abort(self, task: str, reason: str) -> Task:
        """End a task: at once if it waits, by a word to its agent if it runs. A gang ends whole."""
        written = await handle(self.bus.log, self.author, await self.get(task), Abort(reason))
        await tell_holders(self.bus.calls, (written.task, *written.others))
        return written.task

    async def retry(self, task: str, reason: str) -> Task:
        """Put a task that has ended back into its queue, with fresh budgets; a gang whole."""
        return await self._put_in_line(await self.get(task), Requeue(reason))

    async def move(self, task: str, move: Move) -> Task:
        """Let a task that waits stand elsewhere."""
        check_name(move.queue, "queue")
        return await self._put_in_line(await self.get(task), move)

    async def dequeue(self, task: str, reason: str) -> Task:
        """Take a task that waits out of its queue; it is what it was before."""
        known = await self.get(task)
        return (await handle(self.bus.log, self.author, known, Dequeue(reason))).task

    async def _put_in_line(self, known: Task, command: Requeue | Move) -> Task:
        """Append what the command leads to and, in one batch with it, the new queue message."""
        while True:
            event = self.author.envelope(decide(known, command))
            place = command if isinstance(command, Move) else known.place
            rank = command.rank if isinstance(command, Move) else None
            size = request_of(known.spec).size
            await self._ensure(Level(place.queue, place.priority, size))
            level = Level(place.queue, place.priority, size, express=rank is not None)
            await self._ensure(level)
            if known.spec.gang:
                return (await handle(self.bus.log, self.author, known, command)).task
            again = self.author.envelope(Again(known.id, known.origin, rank))
            subject = subjects.lifecycle(known.spec.queue, known.id)
            entries = [
                Entry(subject, wire.encode(event), event.id, expect=known.seq),
                Entry(subjects.hint(level, known.id), wire.encode(again), again.id),
            ]
            try:
                await self.bus.log.append_all(entries)
            except WrongSequence:
                known = await refresh(self.bus.log, known)
                continue
            return await refresh(self.bus.log, known)

    # --- queues -------------------------------------------------------------------------------

    async def queue(self, name: str) -> QueueState:
        """What was done to a queue, as of now."""
        return await load_queue(self.bus.log, name)

    async def queues(self) -> dict[str, QueueState]:
        """Every queue that somebody did something to."""
        try:
            return await load_queues(self.bus.log)
        except BusAway:
            return {}  # a server that evq has not used before

    async def queue_names(self) -> set[str]:
        """The queues that tasks were ever enqueued to."""
        try:
            return {level.queue for level in await self.bus.hints.levels()}
        except BusAway:
            return set()  # a server that evq has not used before

    async def change_queue(self, event: QueueEvent) -> tuple[QueueState, QueueState]:
        """Append what somebody does to a queue, and return it before and after.

        Raises `Conflict` if it makes no sense there.
        """
        check_name(event.queue, "queue")
        envelope = self.author.envelope(event)
        while True:
            try:
                queue = await self.queue(event.queue)
            except BusAway:
                # As in `_ensure`.
                await self.bus.prepare()
                queue = await self.queue(event.queue)
            check_change(queue, event)
            entry = Entry(
                subjects.queue_events(event.queue), wire.encode(envelope), envelope.id, queue.seq
            )
            try:
                seq = await self.bus.log.append(entry)
            except WrongSequence:
                continue
            return queue, evolve_queue(queue, seq, envelope.at, envelope.by, event)

    async def tally(self, queue: str) -> Tally:
        """A queue's limits, and which attempts are live under them, as of now."""
        return await load_tally(self.bus.log, queue)

    async def limit_queue(
        self, queue: str, most: int | None, per_user: int | None, reason: str
    ) -> tuple[Permits, Permits]:
        """Let at most so many attempts of a queue be live at once; its limits before and after.

        What runs goes on, and counts.
        """
        wanted = Permits(queue=queue, reason=reason, most=most, per_user=per_user)
        return await limit_queue(self, wanted)

    # --- questions ----------------------------------------------------------------------------

    async def answer(self, question: Named | Sql) -> AsyncIterator[Head | list[list[Any]]]:
        """A projector's answer: a head, then lists of rows."""
        head: Head | None = None
        # Who stops early tells the projector so while the connection is there.
        async with aclosing(self.parts(question)) as parts:  # type: ignore[type-var]
            async for part in parts:
                if head is None:
                    head = msgspec.json.decode(part, type=Head)
                    yield head
                else:
                    yield msgspec.json.decode(part, type=list[list[Any]])

    def parts(self, question: Named | Sql) -> AsyncIterator[bytes]:
        """A projector's answer as it is sent; see `questions`."""
        endpoint = "named" if isinstance(question, Named) else "sql"
        timeout = ANSWER_SECONDS
        if isinstance(question, Sql):
            timeout = max(timeout, question.timeout + 5)
        data = msgspec.json.encode(question)
        return self.bus.calls.ask(subjects.question(endpoint), data, timeout)

    async def projected(self, timeout: float = POSITION_SECONDS) -> int:
        """How far a projector has read the log. Raises `ProjectorAway`."""
        async for part in self.bus.calls.ask(subjects.question("position"), b"", timeout):
            return msgspec.json.decode(part, type=Head).seq
        raise ProjectorAway("a projector answered nothing")

    async def rows(self, question: Named | Sql) -> AsyncIterator[dict[str, Any]]:
        """A projector's answer, a dict for each row."""
        names: list[str] = []
        async for part in self.answer(question):
            if isinstance(part, Head):
                names = [column.name for column in part.columns]
                continue
            for row in part:
                yield dict(zip(names, row, strict=True))


def _parts(specs: Sequence[Spec]) -> Iterator[list[Spec]]:
    """The specs in batches: each task is a message, and so is the word to each that it awaits."""
    part: list[Spec] = []
    size = 0
    for spec in specs:
        cost = 1 + (1 + len(spec.after) if spec.after else 0)
        if part and size + cost > BATCH:
            yield part
            part, size = [], 0
        part.append(spec)
        size += cost
    if part:
        yield part


@asynccontextmanager
async def open_client(login: Login, name: str = "evq") -> AsyncIterator[Client]:
    """A client on the server that `login` names. Raises `Unreachable` or `Denied`."""
    async with connect(login, name) as bus:
        yield Client(bus)
