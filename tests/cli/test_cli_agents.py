"""`workers`, `worker`, `gpus`, `drain`, `resume`, `stop`: agents in their administrators' hands."""

from __future__ import annotations

from typing import Any

import pytest

from evq.core import subjects, wire
from evq.core.bus.connect import Bus
from evq.core.events import AgentUp, DrainRequested, ResumeRequested, StopRequested
from evq.core.fleet.presence import RunningTask
from evq.core.fleet.resources import Device, Offer
from evq.core.ports import Entry
from evq.core.queueing.orders import Drain
from evq.core.sdk.author import Author, now

GIB = 2**30
DRAIN = Drain("ann@head", now(), "new driver")
GPUS = (
    Device("GPU-aaa", 0, "H100", 80 * GIB, 0, held=True),
    Device("GPU-bbb", 1, "H100", 80 * GIB, 80 * GIB, foreign="pid 7 of bob: python, 20GiB"),
    Device("GPU-ccc", 2, "H100", 80 * GIB, 80 * GIB, broken="it has fallen off the bus"),
    Device("GPU-ddd", 3, "H100", 80 * GIB, 80 * GIB),
)


def running(task: str = "k3f9m0ab7c2d", name: str = "train.py", **more: Any) -> RunningTask:
    return RunningTask(
        task=task, attempt=1, name=name, user="ann", slot=0, since=now() - 3_541_000_000,
        queue="gpu", **more,
    )  # fmt: skip


def offer(*devices: Device, **more: Any) -> Offer:
    return Offer(slots=2, cpus=8, memory=64 * GIB, devices=devices, **more)


async def said(bus: Bus, agent: str = "laptop") -> list[Any]:
    """The orders that stand in the log about an agent."""
    history = await bus.log.history(subjects.agent_events(agent))
    return [(message.by, message.event) for one in history if (message := wire.decode(one.data))]


# --- workers, worker, gpus ----------------------------------------------------------------------


async def test_how_busy_they_are(evq: Any, played: Any, projector: Any) -> None:
    await played.appear("gpu", claims=(7,), running=(running(),), offer=offer(), free=offer())
    load = {"queue": "gpu", "queued": 4, "median_seconds": 10_800.0}
    async with projector({"workload": [load]}):
        lines = (await evq("workers")).out.splitlines()
        (facts,) = (await evq("workers", "--json")).json
        told = (await evq("worker", "laptop")).out
    assert lines[1].split()[2:6] == ["busy", "1/2", "4", "7h00m"]
    # Two hours and 59 seconds are left of what runs, and 4 times 3 hours wait; on two slots.
    assert facts["waiting"] == 4 and 25_200 < facts["busy_seconds"] <= 25_229.5
    assert "gpu (4 wait)" in told and "about 7h00m" in told
    assert "8 of 8 CPUs, 64GiB of 64GiB of memory" in told
    assert "k3f9m0ab7c2d  train.py  ann" in told


async def test_what_is_not_known_is_left_out(evq: Any, played: Any) -> None:
    await played.appear("gpu")
    head = (await evq("workers")).out.splitlines()[0]
    assert "WAITING" not in head and "GPUS" not in head and "BUSY FOR" not in head
    (facts,) = (await evq("workers", "--json")).json
    assert (facts["waiting"], facts["busy_seconds"]) == (None, None)
    assert "labels" not in (await evq("worker", "laptop")).out


async def test_services_are_sub_agents(evq: Any, played: Any) -> None:
    tasks = (running(name="alerts"), running("m0ab7c2dk3f9", "cleanup"))
    await played.appear("services", slots=50, claims=(7, 9), running=tasks, services=True)
    lines = (await evq("workers")).out.splitlines()
    assert [line.split()[:4:3] for line in lines[1:]] == [
        ["laptop", "2/50"],
        ["laptop/alerts", "k3f9m0ab7c2d"],
        ["laptop/cleanup", "m0ab7c2dk3f9"],
    ]
    (facts,) = (await evq("workers", "--json")).json
    assert [one["sub_agent"] for one in facts["tasks"]] == ["laptop/alerts", "laptop/cleanup"]
    assert "services mode" in (await evq("worker", "laptop")).out


async def test_every_gpu_and_who_has_it(evq: Any, played: Any) -> None:
    drains = (Drain("ann@head", now(), "fan", ("GPU-ddd",)),)
    await played.appear(
        *("gpu",), claims=(7,), running=(running(gpus=("GPU-aaa",)),), drains=drains,
        offer=offer(*GPUS, labels={"gpu": "h100"}), free=offer(*GPUS),
    )  # fmt: skip
    found = (await evq("gpus", "--json")).json
    assert [(one["index"], one["state"], one["why"]) for one in found] == [
        (0, "running", "k3f9m0ab7c2d ann train.py"),
        (1, "foreign", "pid 7 of bob: python, 20GiB"),
        (2, "broken", "it has fallen off the bus"),
        (3, "drained", "drained by ann@head: fan"),
    ]
    assert found[0]["tasks"] == ["k3f9m0ab7c2d"]
    told = (await evq("worker", "laptop")).out
    assert "GPU 3 drained by ann@head: fan" in told and "gpu=h100" in told
    assert len((await evq("gpus")).out.splitlines()) == 5


@pytest.mark.parametrize(
    ("claims", "more", "state"),
    [
        ((), {}, "idle"),
        ((7,), {}, "busy"),
        ((), {"paused": "outside its schedule until Mon"}, "paused"),
        ((7,), {"drains": (DRAIN,)}, "draining"),
        ((), {"drains": (DRAIN,)}, "drained"),
        ((), {"draining": True}, "stopping"),
    ],
)
async def test_states(
    evq: Any, played: Any, claims: tuple[int, ...], more: dict[str, Any], state: str
) -> None:
    await played.appear("gpu", claims=claims, **more)
    (facts,) = (await evq("workers", "--json")).json
    assert facts["state"] == state
    reason = more.get("paused") or (str(DRAIN) if "drains" in more else "")
    assert reason in (await evq("workers")).out and reason in (await evq("worker", "laptop")).out


async def test_an_agent_that_is_not_there(evq: Any, played: Any) -> None:
    await played.appear("gpu")
    found = await evq("worker", "desktop")
    assert found.status == 4 and "no agent desktop is there" in found.err
    assert "there are laptop" in found.err


# --- drain, resume, stop ------------------------------------------------------------------------


async def test_drain_is_an_event_with_who_and_why(evq: Any, bus: Bus, played: Any) -> None:
    await played.appear("gpu", claims=(7,), running=(running(),), drains=(DRAIN,))
    done = await evq("drain", "laptop", "--reason", "new driver")
    assert done.out == "agent laptop drains: k3f9m0ab7c2d to go\n"
    assert "evq resume laptop" in done.err
    ((by, event),) = await said(bus)
    assert event == DrainRequested("laptop", "new driver") and "@" in by
    await played.appear("gpu", drains=(DRAIN,))
    assert (await evq("drain", "laptop", "--wait")).out.endswith("drained: nothing runs there\n")
    facts = (await evq("drain", "laptop", "--json")).json
    assert facts == {"agent": "laptop", "there": True, "drained": True, "gpus": [], "tasks": []}


async def test_gpus_are_named_by_number_and_kept_by_id(evq: Any, bus: Bus, played: Any) -> None:
    drains = (Drain("ann@head", now(), "", ("GPU-bbb", "GPU-ddd")),)
    await played.appear("gpu", offer=offer(*GPUS), free=offer(*GPUS), drains=drains)
    await evq("drain", "laptop", "--gpus", "1,GPU-ddd")
    assert (await said(bus))[-1][1] == DrainRequested("laptop", "", ("GPU-bbb", "GPU-ddd"))
    wrong = await evq("drain", "laptop", "--gpus", "4")
    assert wrong.status == 2 and "agent laptop has no GPU 4" in wrong.err
    assert "it has 0, 1, 2, 3" in wrong.err
    refused = await evq("resume", "laptop", "--gpus", "0")
    assert refused.status == 5 and "agent laptop is not drained" in refused.err


async def test_resume(evq: Any, bus: Bus, played: Any) -> None:
    await played.appear("gpu")
    refused = await evq("resume", "laptop")
    assert refused.status == 5 and await said(bus) == []
    await played.appear("gpu", paused="disk: full")
    assert "it has paused by itself: disk: full" in (await evq("resume", "laptop")).err


async def test_one_that_is_not_there_now(evq: Any, bus: Bus) -> None:
    unknown = await evq("drain", "desktop")
    assert unknown.status == 4 and "there is no agent desktop" in unknown.err
    up = Author("desktop").envelope(
        AgentUp(
            agent="desktop", instance="d1", host="h", pid=1, queues=("q",), order="strict",
            slots=1, version="1", cpus=1, memory=1, platform="p", python="3",
        )
    )  # fmt: skip
    await bus.log.append(Entry(subjects.agent_events("desktop"), wire.encode(up), up.id))
    done = await evq("drain", "desktop", "--reason", "moves")
    assert "is not there now; it will be drained when it starts" in done.out
    assert (await said(bus, "desktop"))[-1][1] == DrainRequested("desktop", "moves")
    assert "when it is there" in (await evq("resume", "desktop")).out
    assert (await said(bus, "desktop"))[-1][1] == ResumeRequested("desktop")
    for words in (("stop", "desktop"), ("drain", "desktop", "--gpus", "0")):
        refused = await evq(*words)
        assert refused.status == 5 and "agent desktop is not there" in refused.err


async def test_stop_names_the_instance_that_is_meant(evq: Any, bus: Bus, played: Any) -> None:
    await played.appear("gpu", claims=(7,), running=(running(),))
    assert (await evq("stop", "laptop")).out == "agent laptop ends after k3f9m0ab7c2d\n"
    done = await evq("stop", "laptop", "--now", "--reason", "fire")
    assert done.out == "agent laptop gives back k3f9m0ab7c2d\n"
    assert [event for _, event in await said(bus)] == [
        StopRequested("laptop", "laptop-1"),
        StopRequested("laptop", "laptop-1", "fire", True),
    ]


# --- what is no service -------------------------------------------------------------------------


async def test_a_gpu_task_for_services_is_warned_about(evq: Any, played: Any) -> None:
    await played.appear("services", services=True)
    asked = await evq("enqueue", "-q", "services", "--no-code", "--gpus", "1", "--", "true")
    assert asked.status == 0
    assert (
        "queue 'services' is for services, many light tasks at once: it asks for GPUs" in asked.err
    )
    light = await evq("enqueue", "-q", "services", "--no-code", "--", "true")
    assert "is for services" not in light.err


async def test_what_machines_do_as_far_as_it_is_known(
    evq: Any, played: Any, projector: Any
) -> None:
    def figure(value: float) -> dict[str, float]:
        return {"mean": value, "max": value, "last": value}

    machine = {
        "ts": "2026-03-02T08:00:00Z", "agent": "laptop", "instance": "laptop-1",
        "cpu": figure(93.0), "load": figure(2.5), "temperature": None, "memory": figure(8 * GIB),
        "memory_total": 64 * GIB, "disk": figure(90 * GIB), "disk_total": 100 * GIB, "trouble": "",
    }  # fmt: skip
    gpu = {
        "agent": "laptop", "gpu": "GPU-aaa", "memory": figure(71 * GIB), "power": figure(380.0),
        "utilisation": figure(97.0), "temperature": figure(64.0), "outside": figure(0.0),
    }  # fmt: skip
    task = {"task": "k3f9m0ab7c2d", "attempt": 1, "cpu": figure(112.0), "memory": figure(2 * GIB)}
    await played.appear(
        *("gpu",), claims=(7,), running=(running(gpus=("GPU-aaa",)),), offer=offer(*GPUS)
    )
    answers = {"machine": [machine], "machine_gpus": [gpu], "machine_tasks": [task]}
    async with projector({"workload": [], **answers}):
        lines = (await evq("workers")).out.splitlines()
        told = (await evq("worker", "laptop")).out
        gpus = (await evq("gpus")).out.splitlines()
        (facts,) = (await evq("workers", "--json")).json
    assert lines[1].split()[3:7] == ["1/2", "3/4", "93%", "12%"]
    assert "CPU 93%, load 2.5, memory 8GiB of 64GiB, disk 90GiB of 100GiB" in told
    assert "59m  112%  2GiB     0  0" in told
    assert gpus[1].split()[3:8] == ["80GiB", "71GiB", "97%", "64°", "380W"]
    assert facts["machine"]["cpu"] == 93.0 and facts["machine"]["temperature"] is None
    assert facts["tasks"][0]["use"]["memory"] == 2 * GIB
    assert facts["gpus"][0]["use"]["power"] == 380.0 and facts["gpus"][1]["use"] is None
