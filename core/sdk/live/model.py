"""The fleet as the log tells it: light rows, brought forward message by message.

Pure but for its memory: whoever reads the log hands it the messages, and the whole state of the
tasks that they speak of. The policy for strange messages is that of the projector: what cannot be
attributed to anything changes nothing.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping

import msgspec

from ... import wire
from ...errors import Conflict
from ...events import Again, AgentEvent, Enqueued, Envelope
from ...evolve import create
from ...fleet.agent_record import AgentRecord, evolve_agent
from ...handle import absorb, absorb_queue
from ...ports import Stored
from ...queueing.granting import read_tally
from ...queueing.permits import Permits
from ...queueing.queues import QueueState
from ...state import Task
from ...subjects import parse_hint, parse_lifecycle, parse_permits, parse_queue_events
from ...words.narrate import narrate
from .rows import LiveEvent, LiveQueue, LiveTask, live_task
from .tally import ENDS, Tally

WHOLE_TASKS = 5_000
"""Tasks whose whole state is kept; that of others is loaded when an event for them comes."""


class Loaded(msgspec.Struct, kw_only=True):
    """What the model begins with, each part with the sequence up to which it holds.

    `tasks` are all that have not ended, and the last that have, these in the order of their ends.
    """

    tasks: list[LiveTask] = []
    tasks_seq: int = 0
    counts: dict[str, dict[str, int]] = {}
    waits: dict[str, list[float]] = {}
    holds: dict[str, list[float]] = {}
    counts_seq: int = 0
    records: list[AgentRecord] = []
    records_seq: int = 0
    events: list[LiveEvent] = []
    events_seq: int = 0
    queues: dict[str, QueueState] = {}
    permits: dict[str, tuple[Permits, int]] = {}

    @property
    def seq(self) -> int:
        """The sequence behind which the log is read."""
        return min(self.tasks_seq, self.counts_seq, self.records_seq, self.events_seq)


class Touched(msgspec.Struct):
    """What has changed and was not told yet."""

    tasks: set[str] = set()
    queues: set[str] = set()
    agents: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self.tasks or self.queues or self.agents)


class Model:
    """Tasks, queues and agents as of `seq`. Only `apply` brings it forward."""

    def __init__(self, loaded: Loaded, ended: int, events: int) -> None:
        """`ended` is how many tasks that have ended are kept, `events` how many events."""
        self._loaded = loaded
        self._keep = ended
        self.seq = loaded.seq
        self.tasks: dict[str, LiveTask] = {}
        self.ended: dict[str, None] = {}
        """The tasks that are kept although they have ended, the last one last."""
        self.few: dict[str, dict[str, None]] = {"held": {}, "claimed": {}, "running": {}}
        """The tasks in those states of which there are few, in the order of their coming."""
        self.records = {one.agent: one for one in loaded.records}
        self.events: deque[LiveEvent] = deque(loaded.events, maxlen=events)
        self.queues = dict(loaded.queues)
        self.permits = dict(loaded.permits)
        self.touched = Touched()
        self._tallies: dict[str, Tally] = {}
        self._whole: OrderedDict[str, Task] = OrderedDict()
        self._begin(loaded)

    def _begin(self, loaded: Loaded) -> None:
        waiting: dict[str, list[LiveTask]] = {}
        for task in loaded.tasks:
            self.tasks[task.id] = task
            if task.has_ended:
                self.ended[task.id] = None
            else:
                self.tally(task.queue).states[task.state] += 1
            if task.state == "queued":
                waiting.setdefault(task.queue, []).append(task)
            elif task.state in self.few:
                self.few[task.state][task.id] = None
        for queue, tasks in waiting.items():
            self.tally(queue).begin(tasks)
        for queue, counts in loaded.counts.items():
            self.tally(queue).states.update(counts)
            self.tally(queue).remember(loaded.waits.get(queue, []), loaded.holds.get(queue, []))

    def tally(self, queue: str) -> Tally:
        """The counts of a queue."""
        if queue not in self._tallies:
            self._tallies[queue] = Tally()
        return self._tallies[queue]

    # --- the log ------------------------------------------------------------------------------

    def unknown_before(self, messages: Iterable[Stored]) -> dict[str, tuple[str, int, int]]:
        """The tasks whose whole state has to be loaded before these messages can be applied: by
        id the queue of the task's address, the task's origin (0 if it is not known), and the
        sequence of the first message about it."""
        found: dict[str, tuple[str, int, int]] = {}
        born: set[str] = set()
        for stored in messages:
            if place := parse_lifecycle(stored.subject):
                queue, name = place
                if stored.seq <= self._loaded.tasks_seq:
                    continue
                if name in self._whole:
                    self._whole.move_to_end(name)  # or it may be gone when its turn comes
                    continue
                if name not in born and name not in found:
                    row = self.tasks.get(name)
                    found[name] = (queue, row.origin if row else 0, stored.seq)
            elif (hint := parse_hint(stored.subject)) and hint.task not in self.tasks:
                born.add(hint.task)
        return found

    def apply(self, stored: Stored, loaded: Mapping[str, Task]) -> None:
        """Fold one message; `loaded` has what `unknown_before` asked for."""
        self.seq = max(self.seq, stored.seq)
        if place := parse_lifecycle(stored.subject):
            self._lifecycle(stored, *place, loaded)
        elif hint := parse_hint(stored.subject):
            self._hint(stored, hint.task)
        elif queue := parse_queue_events(stored.subject):
            self._queue(stored, queue)
        elif queue := parse_permits(stored.subject):
            self._permits(stored, queue)
        elif stored.subject.startswith("evq.x.agent."):
            self._agent(stored, stored.subject.rpartition(".")[2])

    def _lifecycle(self, stored: Stored, queue: str, name: str, loaded: Mapping[str, Task]) -> None:
        before = self._whole.get(name) or loaded.get(name)
        if before is None or before.spec.queue != queue:
            return
        self._happened(stored, name, task=name)
        if stored.seq > max(self._loaded.tasks_seq, before.seq):
            self._put(before, absorb(before, stored), stored.seq)

    def _hint(self, stored: Stored, name: str) -> None:
        message = wire.decode(stored.data)
        if not isinstance(message, Envelope) or isinstance(message.event, Again):
            return
        self._happened(stored, name, task=name)
        event = message.event
        if not isinstance(event, Enqueued) or event.task != name or name in self.tasks:
            return
        if stored.seq > self._loaded.tasks_seq:
            self._put(None, create(stored.seq, message.at, message.by, event), stored.seq)

    def _queue(self, stored: Stored, name: str) -> None:
        self._happened(stored, name)
        queue = self.queues.get(name, QueueState(name))
        if stored.seq > queue.seq:
            self.queues[name] = absorb_queue(queue, stored)
            self.touched.queues.add(name)

    def _permits(self, stored: Stored, queue: str) -> None:
        # Not among what happened: it goes with a claim or an end, which is told of.
        _, seq = self.permits.get(queue, (None, 0))
        if stored.seq <= seq:
            return
        try:
            tally = read_tally(queue, stored)
        except Conflict:
            return  # from a newer evq
        self.permits[queue] = (tally.permits, tally.seq)
        self.touched.queues.add(queue)

    def _agent(self, stored: Stored, name: str) -> None:
        self._happened(stored, name)
        message = wire.decode(stored.data)
        if stored.seq <= self._loaded.records_seq or not isinstance(message, Envelope):
            return
        if isinstance(message.event, AgentEvent):
            record = evolve_agent(self.records.get(name), message.at, message.by, message.event)
            if record:
                self.records[name] = record
                self.touched.agents.add(name)

    def _happened(self, stored: Stored, subject: str, task: str | None = None) -> None:
        if stored.seq <= self._loaded.events_seq:
            return
        message = wire.decode(stored.data)
        if isinstance(message, wire.Broken):
            return
        event = message.event if isinstance(message, Envelope) else None
        kind = str(event.__struct_config__.tag) if event else getattr(message, "kind", "")
        self.events.append(
            LiveEvent(
                seq=stored.seq,
                at=message.at,
                by=message.by,
                kind=kind,
                subject=subject,
                text=narrate(message),
                task=task,
                attempt=getattr(event, "attempt", None),
            )
        )

    # --- tasks --------------------------------------------------------------------------------

    def _put(self, before: Task | None, after: Task, seq: int) -> None:
        old = live_task(before) if before else None
        new = live_task(after)
        self._keep_whole(after)
        if old and old.has_ended and new.has_ended:
            self._file(new, archived=after.archived is not None)
            return
        if old:
            self._leave(old, seq)
        self._enter(new, seq)
        if new.has_ended or new.attempts:
            self.tally(new.queue).learn(old, new)
        self.touched.tasks.add(new.id)

    def _leave(self, task: LiveTask, seq: int) -> None:
        self._count(task, -1, seq)
        if task.state == "queued":
            self.tally(task.queue).remove(task)
        elif task.state in self.few:
            self.few[task.state].pop(task.id, None)
        if task.has_ended:
            self.ended.pop(task.id, None)

    def _enter(self, task: LiveTask, seq: int) -> None:
        self._count(task, 1, seq)
        self.tasks[task.id] = task
        if task.state == "queued":
            self.tally(task.queue).add(task)
        elif task.state in self.few:
            self.few[task.state][task.id] = None
        if task.has_ended:
            self.ended[task.id] = None
            self._keep_few()

    def _file(self, task: LiveTask, archived: bool) -> None:
        """A task that has ended has other tags, or was put into the archive or taken out of it."""
        if archived:
            if task.id in self.ended:
                self._forget(task.id)
            return
        self.tasks[task.id] = task
        self.touched.tasks.add(task.id)
        if task.id not in self.ended:
            ended = (*self.ended, task.id)
            self.ended = dict.fromkeys(sorted(ended, key=lambda one: self.tasks[one].ended or 0))
            self._keep_few()

    def _keep_few(self) -> None:
        if len(self.ended) > self._keep:
            self._forget(next(iter(self.ended)))

    def _forget(self, ended: str) -> None:
        del self.ended[ended], self.tasks[ended]
        self.touched.tasks.add(ended)

    def _count(self, task: LiveTask, change: int, seq: int) -> None:
        self.touched.queues.add(task.queue)
        if task.state not in ENDS or seq > self._loaded.counts_seq:
            self.tally(task.queue).states[task.state] += change

    def _keep_whole(self, task: Task) -> None:
        self._whole[task.id] = task
        self._whole.move_to_end(task.id)
        while len(self._whole) > WHOLE_TASKS:
            self._whole.popitem(last=False)

    # --- queues -------------------------------------------------------------------------------

    def queue_names(self) -> set[str]:
        """The queues that are known by their tasks or by what was done to them."""
        return {*self._tallies, *self.queues, *self.permits}

    def queue(self, name: str, agents: tuple[str, ...], slots: int) -> LiveQueue:
        """A queue as it is now, given who serves it."""
        state = self.queues.get(name, QueueState(name))
        permits, _ = self.permits.get(name, (Permits(queue=name, reason=""), 0))
        tally = self.tally(name)
        count = tally.states
        first = tally.line.first(1)
        last = state.pause or state
        return LiveQueue(
            name=name,
            state=self._state(state, count["queued"] + count["claimed"] + count["running"]),
            since=last.at or None,
            by=last.by,
            reason=last.reason,
            description=state.description,
            fair=state.fair,
            held=count["held"],
            queued=count["queued"],
            claimed=count["claimed"],
            running=count["running"],
            completed=count["completed"],
            failed=count["failed"],
            aborted=count["aborted"],
            timed_out=count["timed_out"],
            next_task=first[0] if first else None,
            oldest=tally.oldest(self.tasks, name),
            agents=agents,
            slots=slots,
            permits=permits,
            wait_median=tally.wait_median,
            hold_median=tally.hold_median,
        )

    @staticmethod
    def _state(queue: QueueState, live: int) -> str:
        return "open" if queue.deleted and live else queue.name_of_state
