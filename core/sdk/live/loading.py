"""What a live fleet begins with: a projector's answers, and the last words on queues in the log."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from sys import intern
from typing import TYPE_CHECKING, Any

import msgspec

from ... import subjects
from ...errors import Conflict, NotFound, ProjectorAway
from ...events import Envelope, Event
from ...fleet.agent_record import AgentRecord
from ...handle import absorb, from_hint, load_queues
from ...ports import BusAway
from ...questions import Head, Named
from ...queueing.granting import read_tally
from ...state import Task
from ...wire import Unknown
from ...words.narrate import narrate
from .model import Loaded
from .rows import LiveEvent, LiveTask

if TYPE_CHECKING:
    from ..client import Client

AT_ONCE = 16
"""Tasks that are loaded from the log side by side."""

_WORDS = ("name", "queue", "size", "state", "user", "host", "project", "agent", "cause")
_REPEATED = tuple(LiveTask.__struct_fields__.index(name) for name in _WORDS)
_TAGS = LiveTask.__struct_fields__.index("tags")

_event = msgspec.json.Decoder(Event)


async def load_state(client: Client, ended: int, events: int) -> Loaded:
    """The state to begin with. Without a projector it is empty, and the log is read from its
    beginning."""
    loaded = Loaded()
    try:
        await client.projected()  # one that is not there is known of sooner by this
        await _load_tasks(client, loaded, ended)
        await _load_counts(client, loaded)
        await _load_records(client, loaded)
        await _load_events(client, loaded, events)
    except ProjectorAway:
        loaded = Loaded()
    loaded.queues = await load_queues(client.bus.log)
    for stored in await client.bus.log.latest(subjects.permits("*")):
        if queue := subjects.parse_permits(stored.subject):
            with suppress(Conflict):  # from a newer evq
                loaded.permits[queue] = (read_tally(queue, stored).permits, stored.seq)
    return loaded


async def _load_tasks(client: Client, loaded: Loaded, ended: int) -> None:
    async for part in client.answer(Named("live_tasks", {"ended": ended})):
        if isinstance(part, Head):
            loaded.tasks_seq = part.seq
            continue
        for row in part:
            # A hundred thousand rows have a few hundred different words.
            for place in _REPEATED:
                word = row[place]
                row[place] = intern(word) if word else word
            row[_TAGS] = tuple(row[_TAGS])
            loaded.tasks.append(LiveTask(*row))
        await asyncio.sleep(0)


async def _load_counts(client: Client, loaded: Loaded) -> None:
    loaded.counts_seq, rows = await _ask(client, Named("live_queues"))
    for row in rows:
        queue = row.pop("queue")
        loaded.waits[queue] = row.pop("waits")
        loaded.holds[queue] = row.pop("holds")
        loaded.counts[queue] = row


async def _load_records(client: Client, loaded: Loaded) -> None:
    loaded.records_seq, rows = await _ask(client, Named("live_agents"))
    loaded.records = [msgspec.convert(row, AgentRecord) for row in rows]


async def _load_events(client: Client, loaded: Loaded, limit: int) -> None:
    loaded.events_seq, rows = await _ask(client, Named("live_events", {"limit": limit}))
    loaded.events = [event for row in reversed(rows) if (event := _event_of(row))]


async def _ask(client: Client, question: Named) -> tuple[int, list[dict[str, Any]]]:
    """The sequence that an answer stands for, and its rows."""
    seq, names, rows = 0, list[str](), list[dict[str, Any]]()
    async for part in client.answer(question):
        if isinstance(part, Head):
            seq, names = part.seq, [column.name for column in part.columns]
            continue
        rows += [dict(zip(names, row, strict=True)) for row in part]
    return seq, rows


def _event_of(row: dict[str, Any]) -> LiveEvent | None:
    kind, data = row["kind"], row["data"]
    if kind in ("permits", "turns"):
        return None
    message: Envelope | Unknown
    try:
        message = Envelope(id="", at=row["at"], by=row["by"], event=_event.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError):
        message = Unknown("", row["at"], row["by"], kind, 0)
    event = message.event if isinstance(message, Envelope) else None
    about = row["task"] or getattr(event, "agent", None) or getattr(event, "queue", None)
    return LiveEvent(
        seq=row["seq"],
        at=row["at"],
        by=row["by"],
        kind=kind,
        subject=about or "",
        text=narrate(message),
        task=row["task"],
        attempt=row["attempt"],
    )


async def load_before(client: Client, wanted: dict[str, tuple[str, int, int]]) -> dict[str, Task]:
    """Whole tasks, each as it was before the message at a sequence; see `Model.unknown_before`."""
    found: dict[str, Task] = {}
    waiting = iter(wanted.items())

    async def work() -> None:
        for name, (_, origin, seq) in waiting:
            task = await _patiently(client, name, origin, seq)
            if task:
                found[name] = task

    await asyncio.gather(*(work() for _ in range(min(AT_ONCE, len(wanted)))))
    return found


async def _patiently(client: Client, name: str, origin: int, seq: int) -> Task | None:
    while True:
        try:
            return await _before(client, name, origin, seq)
        except NotFound:
            return None  # no such task was ever enqueued
        except BusAway as away:
            await client.bus.wait(away)


async def _before(client: Client, name: str, origin: int, seq: int) -> Task | None:
    log = client.bus.log
    first = await (log.get(origin) if origin else log.first(subjects.any_hint(name)))
    task = from_hint(first)[1] if first else None
    if task is None:
        return None
    for stored in await log.history(subjects.lifecycle(task.spec.queue, name)):
        if stored.seq >= seq:
            break
        task = absorb(task, stored)
    return task
