"""The fleet once, for scripts: tables without decoration, or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core.sdk.live import LiveAgent, LiveFleet, LiveQueue, LiveTask
from ...core.sdk.live.readings import cpu_of, gpu_of, memory_of
from ...core.words.agents import device_state, device_words
from .. import output
from ..output import Column
from ..tasks.render import colored, iso, now
from .summary import counts, freshness
from .tabs import EVENTS, GPUS, QUEUES, TASKS, WORKERS, Tab
from .text import plain

FEW = 20
"""Tasks and events that are printed; each table of a terminal has its verb for all of them."""


def say(fleet: LiveFleet) -> None:
    """Print the fleet as tables."""
    output.say("  ".join(filter(None, (*counts(fleet), freshness(fleet)[0]))))
    for tab in (WORKERS, GPUS, QUEUES, TASKS, EVENTS):
        items = tab.items(fleet, False)
        _say_table(tab, items[:FEW] if tab in (TASKS, EVENTS) else items)


def _say_table(tab: Tab, items: Sequence[Any]) -> None:
    if not items:
        return
    moment = now()
    columns = [
        Column(
            field.title, field.right, soft=not field.width, style=colored if field.state else None
        )
        for field in tab.fields
    ]
    output.say()
    output.say_table(
        columns, [[plain(field.text(item, moment)) for field in tab.fields] for item in items]
    )


def facts(fleet: LiveFleet) -> dict[str, Any]:
    """The fleet as JSON; docs/top.md says what the fields mean."""
    return {
        "seq": fleet.seq,
        "behind": fleet.behind,
        "connected": fleet.connected,
        "projected": fleet.projected,
        "workers": [_agent(one) for one in fleet.agents.values()],
        "queues": [_queue(one) for one in fleet.queues.values() if one.state != "deleted"],
        "tasks": [_task(one) for one in fleet.with_agents()],
        "events": [
            {
                "seq": one.seq,
                "at": iso(one.at),
                "by": one.by,
                "kind": one.kind,
                "of": one.subject,
                "text": one.text,
            }
            for one in fleet.recent_events[:FEW]
        ],
    }


def _agent(one: LiveAgent) -> dict[str, Any]:
    presence = one.presence
    return {
        "worker": one.name,
        "host": one.host,
        "state": one.state,
        "why": one.why,
        "there": one.there,
        "queues": one.queues,
        "slots": one.slots,
        "busy": one.busy,
        "since": iso(one.since),
        "cpu": cpu_of(one.sample),
        "memory": memory_of(one.sample),
        "tasks": [task.task for task in presence.running] if presence else [],
        "gpus": [
            {
                "index": device.index,
                "id": device.id,
                "name": device.name,
                "state": device_state(presence, device),
                "by": device_words(presence, device),
                "utilisation": gpu_of(one.sample, device.id).utilisation,
                "memory": gpu_of(one.sample, device.id).memory,
            }
            for device in presence.devices
        ]
        if presence
        else [],
    }


def _queue(one: LiveQueue) -> dict[str, Any]:
    return {
        "queue": one.name,
        "state": one.state,
        "reason": one.reason if one.state == "paused" else "",
        "held": one.held,
        "queued": one.queued,
        "claimed": one.claimed,
        "running": one.running,
        "completed": one.completed,
        "failed": one.failed,
        "aborted": one.aborted,
        "timed_out": one.timed_out,
        "next_task": one.next_task,
        "oldest": iso(one.oldest),
        "wait_median_seconds": one.wait_median,
        "slots": one.slots,
        "workers": one.agents,
    }


def _task(one: LiveTask) -> dict[str, Any]:
    return {
        "task": one.id,
        "name": one.name,
        "state": one.state,
        "queue": one.queue,
        "user": one.user,
        "worker": one.agent,
        "since": iso(one.since),
        "quiet_since": iso(one.quiet),
        "attempts": one.attempts,
    }
