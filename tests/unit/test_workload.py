"""For how long agents are busy, by what their queues' tasks took."""

from __future__ import annotations

import msgspec

from evq.core.fleet.presence import AgentPresence, RunningTask
from evq.core.queueing.workload import QueueLoad, busy_seconds, serving_slots, waiting

NOW = 1_000_000_000


def agent(*began: float, queues: tuple[str, ...] = ("q",), slots: int = 2) -> AgentPresence:
    """An agent whose tasks began so many seconds ago."""
    running = tuple(
        RunningTask(
            task=str(n), attempt=1, name="n", user="u", slot=n, queue="q",
            since=NOW - round(seconds * 1e6),
        )
        for n, seconds in enumerate(began)
    )  # fmt: skip
    return AgentPresence(
        agent="a", instance="i", host="h", pid=1, queues=queues, order="strict", slots=slots,
        running=running,
    )  # fmt: skip


def test_what_runs_and_the_share_of_what_waits() -> None:
    loads = {"q": QueueLoad(4, 60.0)}
    busy = agent(20.0, 90.0)
    # 40 s are left of one, none of the other; of 240 s that wait half are the other agent's.
    assert busy_seconds(busy, serving_slots([busy, agent()]), loads, NOW) == (40 + 120) / 2
    assert waiting(busy, loads) == 4


def test_whoever_takes_nothing_has_only_what_it_runs() -> None:
    loads = {"q": QueueLoad(4, 60.0)}
    paused = msgspec.structs.replace(agent(30.0), paused="a full disk")
    other = agent()
    slots = serving_slots([paused, other])
    assert slots == {"q": 2}
    assert busy_seconds(paused, slots, loads, NOW) == 15
    assert busy_seconds(other, slots, loads, NOW) == 120


def test_without_a_history_nothing_is_said() -> None:
    slots = serving_slots([agent()])
    assert busy_seconds(agent(1.0), slots, {}, NOW) is None
    assert busy_seconds(agent(), slots, {"q": QueueLoad(1)}, NOW) is None
    assert busy_seconds(agent(), slots, {}, NOW) == 0
