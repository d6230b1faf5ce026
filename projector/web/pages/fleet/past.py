"""Workers and queues as they were at a moment, by a projector's answers about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .....core.fleet.presence import AgentPresence
from .....core.fleet.resources import Device
from .....core.past import ByClock
from .....core.questions import Named
from .....core.queueing.workload import QueueLoad, busy_seconds, serving_slots
from .....core.sdk.client import Client
from .....core.sdk.past import Past, find_moment
from .....core.words.agents import device_state, device_words, state_of, why_closed
from .picture import Gpu, GpuState, Picture, Queue, Waiting, Worker
from .present import STATES, asks, running_rows

Row = dict[str, Any]

OUTSIDE_BYTES = 256 * 2**20
"""Memory of a GPU that others must have before it counts as used by them."""


async def picture_at(client: Client, at: int, queue: str, count: int) -> Picture:
    """All at a moment, in microseconds since 1970. Raises `EvqError`, as if no projector answers.

    What nobody wrote down is not known of the past: of whom GPUs were used outside of evq, why a
    task waited and when it would start.
    """
    past = Past(client, await find_moment(client.bus.log, ByClock(at)))
    there = await past.agents()
    machines = {row["agent"]: row for row in await _rows(past, "machine")}
    seen = {(row["agent"], row["gpu"]): row for row in await _rows(past, "machine_gpus")}
    loads = {
        row["queue"]: QueueLoad(row["queued"], row["median_seconds"])
        for row in await _rows(past, "workload")
    }
    slots = serving_slots(there)
    workers = [_worker(one, slots, machines.get(one.agent, {}), seen, loads, at) for one in there]
    workers += [_lost(row) for row in await _rows(past, "agents") if row["state"] == "lost"]
    queues = await _rows(past, "queues")
    line = await _rows(past, "line", queue=queue, limit=count) if queue else []
    return Picture(
        workers=workers,
        queues=[_queue(row, at) for row in queues if row["state"] != "deleted"],
        line=[_waiting(row, queue, at) for row in line],
    )


async def _rows(client: Client, name: str, **params: Any) -> list[Row]:
    return [row async for row in client.rows(Named(name, params))]


def _worker(
    agent: AgentPresence,
    slots: Mapping[str, int],
    machine: Row,
    seen: dict[tuple[str, str], Row],
    loads: dict[str, QueueLoad],
    at: int,
) -> Worker:
    return Worker(
        name=agent.agent,
        host=agent.host,
        state=state_of(agent),
        why=why_closed(agent),
        since=agent.since,
        queues=agent.queues,
        slots=agent.slots,
        services=agent.services,
        running=running_rows(agent),
        gpus=tuple(
            _gpu(agent, device, seen.get((agent.agent, device.id), {})) for device in agent.devices
        ),
        busy_seconds=busy_seconds(agent, slots, loads, at),
        cpu=_mean(machine, "cpu"),
        load=_mean(machine, "load"),
        memory=_mean(machine, "memory"),
        memory_total=machine.get("memory_total"),
        disk=_mean(machine, "disk"),
        disk_total=machine.get("disk_total"),
        disk_read=_mean(machine, "disk_read"),
        disk_write=_mean(machine, "disk_write"),
        net_in=_mean(machine, "net_in"),
        net_out=_mean(machine, "net_out"),
        temperature=_mean(machine, "temperature"),
    )


def _gpu(agent: AgentPresence, device: Device, seen: Row) -> Gpu:
    state, words = STATES[device_state(agent, device)], device_words(agent, device)
    return Gpu(
        id=device.id,
        index=device.index,
        name=device.name,
        state=_state(state, seen) if state == "idle" else state,
        words=words or seen.get("trouble") or "",
        utilisation=_mean(seen, "utilisation"),
        memory=_mean(seen, "memory"),
        memory_total=seen.get("memory_total") or device.memory or None,
        temperature=_mean(seen, "temperature"),
        power=_mean(seen, "power"),
    )


def _state(state: GpuState, seen: Row) -> GpuState:
    """What was seen of a GPU that no task had."""
    if seen.get("trouble"):
        return "offline"
    return "outside" if (_mean(seen, "outside") or 0) >= OUTSIDE_BYTES else state


def _lost(row: Row) -> Worker:
    return Worker(
        name=row["agent"],
        host=row["host"] or "",
        state="lost",
        why=row["reason"] or "",
        queues=tuple(row["queues"] or ()),
    )


def _queue(row: Row, at: int) -> Queue:
    paused = row["state"] == "paused"
    return Queue(
        name=row["queue"],
        state=row["state"],
        why=f"by {row['by']}: {row['reason']}" if paused else "",
        description=row["description"] or "",
        queued=row["queued"],
        busy=row["claimed"] + row["running"],
        workers=row["agents"],
        oldest=_since(row["oldest_wait_seconds"], at) if row["queued"] else None,
        wait_median=row["wait_median_seconds"],
        next_task=f"{row['next_task']} {row['next_name']}" if row["next_task"] else "",
    )


def _waiting(row: Row, queue: str, at: int) -> Waiting:
    return Waiting(
        task=row["task"],
        queue=queue,
        place=row["position"],
        name=row["name"],
        user=row["user"],
        priority=row["priority"],
        asks=asks(row["class"]),
        since=_since(row["wait_seconds"], at),
    )


def _since(seconds: float | None, at: int) -> int | None:
    return None if seconds is None else at - round(seconds * 1e6)


def _mean(row: Row, name: str) -> float | None:
    figure = row.get(name)
    return figure["mean"] if figure else None
