"""The five tables of `evq top`: what a row is, and what its fields show and are sorted by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import msgspec

from ...core.fleet.presence import AgentPresence
from ...core.fleet.quiet import quiet_words
from ...core.fleet.resources import Device
from ...core.sdk.live import LiveAgent, LiveEvent, LiveFleet, LiveQueue, LiveTask
from ...core.sdk.live.readings import cpu_of, gpu_of, memory_of, utilisation_of
from ...core.units import size_text
from ...core.words.agents import device_state, device_words
from ...core.words.phrases import ago, end_text, span
from ..tasks.figures import percent
from ..tasks.render import clock

LINE = 200
"""Tasks of one queue's line that are shown among others."""
ENDED = 200


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A column. `value` is what it is sorted by, `text` what it shows at a time (microseconds).

    One without a `width` shares what room is left; `state` is coloured by its word.
    """

    title: str
    text: Callable[[Any, int], str]
    value: Callable[[Any], Any]
    width: int = 0
    right: bool = False
    state: bool = False


class Tab(msgspec.Struct, frozen=True, kw_only=True):
    """A table: its rows in their usual order, what tells one from another, and the words in which
    a filter looks."""

    name: str
    title: str
    fields: tuple[Field, ...]
    items: Callable[[LiveFleet, bool], Sequence[Any]]
    """All rows if the second argument is true, else those that come first."""
    key: Callable[[Any], str]
    words: Callable[[Any], str]


def _word(title: str, get: Callable[[Any], Any], width: int = 0, **more: Any) -> Field:
    return Field(
        title=title,
        text=lambda item, _: str(get(item) or ""),
        value=lambda item: str(get(item) or ""),
        width=width,
        **more,
    )


def _count(title: str, get: Callable[[Any], int | None], width: int) -> Field:
    return Field(
        title=title,
        text=lambda item, _: str(get(item) or ""),
        value=lambda item: -(get(item) or 0),
        width=width,
        right=True,
    )


def _part(title: str, get: Callable[[Any], float | None], width: int = 4) -> Field:
    return Field(
        title=title,
        text=lambda item, _: percent(get(item)),
        value=lambda item: -(get(item) or 0.0),
        width=width,
        right=True,
    )


def _since(title: str, get: Callable[[Any], int | None], width: int = 4) -> Field:
    return Field(
        title=title,
        text=lambda item, now: ago(get(item), now) if get(item) else "",
        value=lambda item: get(item) or 0,
        width=width,
        right=True,
    )


def _length(title: str, get: Callable[[Any], float | None], width: int = 6) -> Field:
    return Field(
        title=title,
        text=lambda item, _: span(get(item)),
        value=lambda item: -(get(item) or 0.0),
        width=width,
        right=True,
    )


# --- workers --------------------------------------------------------------------------------------


def _agents(fleet: LiveFleet, every: bool) -> Sequence[LiveAgent]:
    return sorted(fleet.agents.values(), key=lambda one: (not one.there, one.name))


def _tasks_of(agent: LiveAgent) -> str:
    return f"{agent.busy}/{agent.slots}" if agent.there else ""


def _gpus_of(agent: LiveAgent) -> str:
    devices = agent.presence.devices if agent.presence else ()
    taken = sum(not device.takes(None) for device in devices)
    return f"{taken}/{len(devices)}" if devices else ""


WORKERS = Tab(
    name="workers",
    title="Workers",
    fields=(
        _word("WORKER", lambda one: one.name),
        _word("STATE", lambda one: one.state, 8, state=True),
        Field(
            title="TASKS",
            text=lambda one, _: _tasks_of(one),
            value=lambda one: -one.busy,
            width=5,
            right=True,
        ),
        _word("GPUS", _gpus_of, 4, right=True),
        _part("GPU%", lambda one: utilisation_of(one.sample)),
        _part("CPU", lambda one: cpu_of(one.sample)),
        _part("MEM", lambda one: memory_of(one.sample)),
        _since("UP", lambda one: one.since if one.there else None),
        _word("QUEUES", lambda one: ",".join(one.queues)),
    ),
    items=_agents,
    key=lambda one: one.name,
    words=lambda one: f"{one.name} {one.host} {one.state} {' '.join(one.queues)} {one.why}",
)


# --- GPUs -----------------------------------------------------------------------------------------


class Gpu(msgspec.Struct, frozen=True):
    """A GPU of an agent that is there."""

    agent: LiveAgent
    presence: AgentPresence
    device: Device

    @property
    def state(self) -> str:
        """What it does, in one word."""
        return device_state(self.presence, self.device)

    @property
    def by(self) -> str:
        """Who has it."""
        return device_words(self.presence, self.device)


def _gpus(fleet: LiveFleet, every: bool) -> Sequence[Gpu]:
    return [
        Gpu(agent, agent.presence, device)
        for agent in _agents(fleet, every)
        if agent.presence
        for device in agent.presence.devices
    ]


def _memory(gpu: Gpu) -> str:
    used = gpu_of(gpu.agent.sample, gpu.device.id).memory
    whole = size_text(gpu.device.memory) if gpu.device.memory else ""
    return f"{size_text(round(used))}/{whole}" if used is not None and whole else whole


def _degrees(gpu: Gpu) -> str:
    temperature = gpu_of(gpu.agent.sample, gpu.device.id).temperature
    return "" if temperature is None else f"{temperature:.0f}°"


def _watts(gpu: Gpu) -> str:
    power = gpu_of(gpu.agent.sample, gpu.device.id).power
    return "" if power is None else f"{power:.0f}W"


GPUS = Tab(
    name="gpus",
    title="GPUs",
    fields=(
        _word("WORKER", lambda one: one.agent.name),
        Field(
            title="#",
            text=lambda one, _: str(one.device.index),
            value=lambda one: one.device.index,
            width=2,
            right=True,
        ),
        _word("NAME", lambda one: one.device.name),
        _word("STATE", lambda one: one.state, 7, state=True),
        _part("UTIL", lambda one: gpu_of(one.agent.sample, one.device.id).utilisation),
        _word("MEMORY", _memory, 15, right=True),
        _word("TEMP", _degrees, 4, right=True),
        _word("POWER", _watts, 5, right=True),
        _word("BY", lambda one: one.by),
    ),
    items=_gpus,
    key=lambda one: f"{one.agent.name} {one.device.id}",
    words=lambda one: f"{one.agent.name} {one.device.name} {one.state} {one.by}",
)


# --- queues ---------------------------------------------------------------------------------------


def _queues(fleet: LiveFleet, every: bool) -> Sequence[LiveQueue]:
    found = (one for one in fleet.queues.values() if one.state != "deleted")
    return sorted(found, key=lambda one: one.name)


QUEUES = Tab(
    name="queues",
    title="Queues",
    fields=(
        _word("QUEUE", lambda one: one.name),
        _word("STATE", lambda one: one.state, 6, state=True),
        _count("WAIT", lambda one: one.queued + one.held, 6),
        _count("RUN", lambda one: one.busy, 4),
        _count("DONE", lambda one: one.completed, 6),
        _count("FAIL", lambda one: one.failed + one.timed_out, 5),
        _since("OLDEST", lambda one: one.oldest, 6),
        _length("USUAL", lambda one: one.wait_median),
        _count("SLOTS", lambda one: one.slots, 5),
        _word("WORKERS", lambda one: ",".join(one.agents) or "nobody"),
    ),
    items=_queues,
    key=lambda one: one.name,
    words=lambda one: f"{one.name} {one.state} {one.reason} {' '.join(one.agents)}",
)


# --- tasks ----------------------------------------------------------------------------------------


def _tasks(fleet: LiveFleet, every: bool) -> Sequence[LiveTask]:
    """Those that an agent has, then the lines, then what is held, then what has ended."""
    live = fleet.with_agents()
    if every:
        rest = (task for task in fleet.tasks.values() if task.state not in ("claimed", "running"))
        return [*live, *rest]
    waiting = [task for name in sorted(fleet.queues) for task in fleet.line(name, LINE)]
    return [*live, *waiting, *fleet.held(LINE), *islice(fleet.ended, ENDED)]


def _note(task: LiveTask, now: int) -> str:
    if task.has_ended:
        return end_text(task.exit_code, task.cause).replace("exit status", "exit")
    if task.state not in ("claimed", "running"):
        return ""
    return ", ".join(filter(None, (quiet_words(task.quiet, now), task.agent)))


TASKS = Tab(
    name="tasks",
    title="Tasks",
    fields=(
        _word("TASK", lambda one: one.id, 12),
        _word("NAME", lambda one: one.name),
        _word("STATE", lambda one: one.state, 9, state=True),
        _since("FOR", lambda one: one.since),
        _word("QUEUE", lambda one: one.queue),
        _word("USER", lambda one: one.user),
        Field(title="WHERE, HOW", text=_note, value=lambda one: (one.quiet or 0, one.agent or "")),
    ),
    items=_tasks,
    key=lambda one: one.id,
    words=lambda one: (
        f"{one.id} {one.name} {one.state} {one.queue} {one.user} {one.agent or ''} {one.project}"
        f" {' '.join(one.tags)} {one.cause or ''}"
    ),
)


# --- events ---------------------------------------------------------------------------------------


def _events(fleet: LiveFleet, every: bool) -> Sequence[LiveEvent]:
    return fleet.recent_events


EVENTS = Tab(
    name="events",
    title="Events",
    fields=(
        Field(
            title="TIME",
            text=lambda one, _: clock(one.at)[-8:],
            value=lambda one: -one.seq,
            width=8,
        ),
        _word("OF", lambda one: one.subject, 12),
        _word("WHAT", lambda one: one.text),
        _word("BY", lambda one: one.by, 14),
    ),
    items=_events,
    key=lambda one: str(one.seq),
    words=lambda one: f"{one.subject} {one.kind} {one.text} {one.by}",
)

TABS = (WORKERS, GPUS, QUEUES, TASKS, EVENTS)
