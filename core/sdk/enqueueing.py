"""A task's spec, made into the event by which the server has it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence

import msgspec
from msgspec.structs import replace

from .. import subjects, wire
from ..bus.connect import Bus
from ..errors import Conflict, UsageError
from ..events import Enqueued
from ..gangs.gang import named_members
from ..handle import load_queue
from ..ids import task_id_for_key
from ..ports import BusAway, Entry, WrongSequence
from ..spec import Spec, check_spec
from ..subjects import Level
from .author import Author, host_name, new_task_id, user_name
from .awaiting import whole_gangs, words_for
from .code import CodeOnServer
from .levels import append, ensure
from .request import default_name, well_formed

BATCH = 500
FAIR_SECONDS = 2.0
"""How long a client may be wrong about a queue that was made fair."""


class Receipt(msgspec.Struct, frozen=True):
    """An enqueued task. `new` is false when its idempotency key had been used before."""

    task: str
    seq: int
    new: bool


class Enqueuer:
    """Enqueues tasks, and knows what they leave to the one who does."""

    def __init__(self, bus: Bus, author: Author) -> None:
        self.bus = bus
        self.author = author
        self.code = CodeOnServer(bus)
        self.queue = "default"
        """Where tasks go that name no queue."""
        self.inside = os.environ.get("EVQ_TASK_ID") or None
        """The task that this program runs in: the parent of those that it enqueues."""
        self._fair: dict[str, tuple[float, bool]] = {}
        """By queue, until when it is known whether it is fair."""

    async def enqueue(self, spec: Spec) -> Receipt:
        """Enqueue one task. When this returns, the server has it on disk.

        One for several nodes is a gang: the receipt is that of its rank 0, which stands for all.
        """
        spec = await self.prepared(spec)
        task = task_id_for_key(spec.key) if spec.key else new_task_id()
        level = Level.of(spec)
        await ensure(self.bus, level)
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
            seq = await append(self.bus, entries[0])
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
        wanted = [await self.prepared(spec) for spec in specs]
        for level in {Level.of(spec) for spec in wanted}:
            await ensure(self.bus, level)
        receipts: list[Receipt] = []
        for part in in_parts([await whole_gangs(self.bus.log, spec) for spec in wanted]):
            named = [(new_task_id(), spec) for spec in part]
            first = await self.store(named)
            receipts += [Receipt(task, first + n, True) for n, (task, _) in enumerate(named)]
        return receipts

    async def prepared(self, spec: Spec) -> Spec:
        """The spec as it is stored, but for the gangs that it awaits.

        Raises `UsageError`, or `NotFound` if its code is not on the server.
        """
        spec = check_spec(self.complete(spec))
        await self.code.check(spec.code)
        return await self._shared(spec)

    async def store(self, tasks: Sequence[tuple[str, Spec]], more: Sequence[Entry] = ()) -> int:
        """Store tasks under these ids and other entries in one batch; the first one's sequence.

        Raises `WrongSequence` if a task is there already.
        """
        entries = [self._entry(Level.of(spec), task, spec) for task, spec in tasks]
        if any(spec.after for _, spec in tasks):
            return await self._store_awaiting(tasks, entries, more)
        return await self._append_all([*entries, *more]) - len(entries) - len(more) + 1

    async def _store_awaiting(
        self,
        tasks: Sequence[tuple[str, Spec]],
        entries: Sequence[Entry],
        more: Sequence[Entry] = (),
    ) -> int:
        """Store `enqueued` events together with all that their dependencies ask for, and return
        the first one's sequence. Raises `WrongSequence` if a task is there already."""
        while True:
            words = [*await words_for(self.bus.log, self.author, tasks), *more]
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

    def complete(self, spec: Spec) -> Spec:
        """The spec with what it leaves to the one who enqueues it.

        Raises `UsageError` for a value of another type than its field.
        """
        spec = well_formed(spec)
        return replace(
            spec,
            name=spec.name or default_name(spec.entry, spec.params),
            queue=spec.queue or self.queue,
            parent=spec.parent or self.inside,
            user=spec.user or user_name(),
            host=spec.host or host_name(),
        )

    async def _shared(self, spec: Spec) -> Spec:
        """The task in its user's own lane, if its queue is fair."""
        now, known = time.monotonic(), self._fair.get(spec.queue)
        if known is None or known[0] < now:
            try:
                fair = (await load_queue(self.bus.log, spec.queue)).fair
            except BusAway:
                return spec  # a server that evq has not used before
            known = self._fair[spec.queue] = (now + FAIR_SECONDS, fair)
        return replace(spec, fair=True) if known[1] else spec

    async def _is_ours(self, seq: int, entry: Entry) -> bool:
        stored = await self.bus.log.get(seq)
        return stored is not None and stored.data == entry.data

    async def _known(self, task: str) -> Receipt | None:
        hint = await self.bus.log.first(subjects.any_hint(task))
        return Receipt(task, hint.seq, False) if hint else None


def in_parts(specs: Sequence[Spec]) -> Iterator[list[Spec]]:
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
