"""Reports on GPUs, agents and tasks over small histories, reckoned by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from small_history import (
    GIB,
    HOUR,
    SPEC,
    History,
    claimed,
    finished,
    gpu_readings,
    machine,
    retry,
    started,
    up,
    using,
)

from evq.core import events, subjects
from evq.core.events import Cause, Outcome
from evq.core.queueing.queues import QueuePaused
from evq.core.spec import Code, Command

A, B, C, D = ("a" * 12, "b" * 12, "c" * 12, "d" * 12)
FAILED = Outcome.FAILED


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    """A history that begins three hours ago."""
    made = History(tmp_path, hours=3)
    yield made
    made.database.close()


# --- GPUs -------------------------------------------------------------------------------------


@pytest.fixture
def gpus(history: History) -> History:
    """On an agent with two GPUs of 80 GiB: ann has both for an hour, of which 0.1 h is set-up, and
    uses them at 75 %. bob has a quarter of one for half an hour and fails; before that he failed in
    set-up with one for 0.1 h. carol's, with one, runs since half an hour at 4 %."""
    history.agent(0, up("w", "0", "1", memory=80 * GIB))
    claim = history.runs(A, 0, 360, HOUR, spec=replace(SPEC, gpus=2), gpus=("0", "1"))
    history.sample(1000, 10, shares=using(claim, A, 70.0))
    history.sample(1010, 10, shares=using(claim, A, 80.0))
    bob = replace(SPEC, user="bob", queue="r", gpus=1)
    history.enqueue(0, B, bob)
    history.of(B, (HOUR, claimed(1, "0")), (HOUR + 360, retry(1, Cause.ENVIRONMENT)))
    share = claimed(2, "0", gpu_memory=20 * GIB)
    history.of(B, (4000, share), (4000, started(2)), (5800, finished(2, FAILED, Cause.CODE)))
    carol = replace(SPEC, user="carol", gpus=1)
    claim = history.runs(C, 9000, 9000, None, spec=carol, gpus=("1",))
    history.sample(10000, 10, shares=using(claim, C, 4.0))
    history.project()
    return history


def test_hours_of_gpus(gpus: History) -> None:
    ann, carol, bob = gpus.ask("gpu_hours")
    assert (ann["name"], ann["reserved"], ann["setup"], ann["running"]) == ("ann", 2.0, 0.2, 1.8)
    assert (ann["used"], ann["idle"], ann["wasted"]) == (1.35, 0.45, 0)
    assert (bob["name"], bob["attempts"], bob["reserved"]) == ("bob", 2, round(0.1 + 0.125, 3))
    assert (bob["wasted"], bob["wasted_in_setup"]) == (0.225, 0.1)
    assert (bob["used"], bob["idle"]) == (None, None)  # no sample tells
    assert carol["reserved"] == carol["running"] == pytest.approx(0.5, abs=0.01)
    assert carol["idle"] == pytest.approx(0.48, abs=0.01)
    assert gpus.column("gpu_hours", "name", by="queue") == ["q", "r"]
    assert gpus.column("gpu_hours", "reserved", by="agent", user="ann") == [2.0]


def test_only_the_time_within_the_days_counts(gpus: History) -> None:
    # Of the last 2.5 hours: half an hour of ann's, which was all running.
    [ann] = gpus.ask("gpu_hours", days=2.5 / 24, user="ann")
    assert ann["reserved"] == ann["running"] == pytest.approx(1.0, abs=0.02)
    assert ann["setup"] == 0
    [cost] = gpus.ask("cost", days=2.5 / 24, user="ann")
    assert cost["gpu_hours"] == pytest.approx(1.0, abs=0.02)


def test_who_holds_gpus_and_hardly_uses_them(gpus: History) -> None:
    [found] = gpus.ask("idle_holders")
    assert (found["task"], found["outcome"], found["utilisation"]) == (C, "running", 4.0)
    assert found["idle_gpu_hours"] == pytest.approx(0.48, abs=0.01)
    assert gpus.column("idle_holders", "task", below=90) == [C, A]


def test_who_held_the_most(gpus: History) -> None:
    found = gpus.column("longest_holders", "task", "attempt", "gpus", "outcome")
    assert found == [
        (A, 1, 2.0, "completed"),
        (C, 1, 1.0, "running"),
        (B, 2, 0.25, "failed"),
        (B, 1, 1.0, "failed"),
    ]
    assert gpus.column("longest_holders", "gpu_hours", limit=1) == [2.0]


def test_what_it_cost(gpus: History) -> None:
    found = {row["name"]: row for row in gpus.ask("cost", gpu_hour=2, slot_hour="0.5")}
    assert found["ann"]["cost"] == pytest.approx(2 * 2 + 0.5)
    assert found["bob"]["cost"] == pytest.approx(2 * 0.225 + 0.5 * 0.6, abs=0.01)
    assert (found["bob"]["wasted"], found["ann"]["wasted"]) == (found["bob"]["cost"], 0)


def test_the_price_of_processor_time(history: History) -> None:
    history.enqueue(0, A)
    history.of(A, (0, claimed(1)), (0, started(1)))
    used = events.Usage(wall=100.0, cpu=7200.0)
    history.of(A, (100, events.Finished(attempt=1, outcome=Outcome.COMPLETED, usage=used)))
    [found] = history.ask("cost", gpu_hour=0, cpu_hour=3)
    assert (found["cpu_hours"], found["cost"]) == (2.0, 6.0)


def test_no_gpu_has_two_masters(gpus: History) -> None:
    assert gpus.ask("gpu_overlaps") == []
    gpus.runs(D, 9500, 9500, 9600, gpus=("1",))
    assert gpus.column("gpu_overlaps", "gpu", "task", "other") == [("1", C, D)]


def test_energy(history: History) -> None:
    history.sample(3600, 3600, gpus=gpu_readings("0", "1", utilisation=50, power=500))
    history.sample(7200, 3600, gpus=gpu_readings("0", "1", utilisation=50, power=300))
    [found] = history.ask("energy", kwh=0.5)
    assert (found["name"], found["gpus"], found["kwh"], found["cost"]) == ("w", 2, 1.6, 0.8)
    assert (found["mean_watts"], found["highest_watts"]) == (400.0, 500.0)
    assert history.column("energy", "name", "kwh", by="gpu") == [("0", 0.8), ("1", 0.8)]


# --- agents -----------------------------------------------------------------------------------


@pytest.fixture
def agents(history: History) -> History:
    """`w` with two slots is up for 400 s of 500, and has three attempts of 100 s."""
    history.agent(0, up("w"))
    for number, (begin, task) in enumerate(((0, A), (100, B), (150, C))):
        history.runs(task, begin, begin, begin + 100, attempt=1, agent="w", enqueue=number)
    history.agent(300, events.AgentPaused("w", "i", "disk"))
    history.agent(400, events.AgentResumed("w", "i", "after disk"))
    history.agent(500, events.AgentDown("w", "i", "told to stop"))
    history.agent(600, up("v"))
    history.agent(700, events.AgentLost("v", "i", "silent"))
    history.project()
    return history


def test_how_much_of_agents_was_used(agents: History) -> None:
    columns = ("agent", "attempts", "busy_share", "losses")
    v, w = agents.column("worker_use", *columns)
    assert v == ("v", 0, 0, 1)
    assert w == ("w", 3, round(300 / (2 * 400), 4), 0)


def test_availability(agents: History) -> None:
    v, w = agents.ask("availability")
    assert w["held_back"] == pytest.approx(100 / (3 * HOUR), abs=1e-3)
    assert w["up"] == pytest.approx(400 / (3 * HOUR), abs=1e-3)
    assert (v["losses"], w["losses"]) == (1, 0)
    assert v["up"] + v["away"] == pytest.approx(1, abs=1e-3)


def test_the_life_of_an_agent(agents: History) -> None:
    found = agents.column("agent_history", "state", "seconds", agent="w")
    assert [state for state, _ in found] == ["down", "up", "paused", "up"]
    assert [seconds for _, seconds in found[1:]] == [100.0, 100.0, 300.0]


def test_utilisation_over_time(tmp_path: Path) -> None:
    history = History(tmp_path, hours=30)
    # Whole hours of UTC, so that it is known what falls into which.
    hour = (history.start // (HOUR * 10**6) + 1) * HOUR - history.start / 1e6
    history.agent(hour, up("w", "0", "1"))
    history.runs(A, hour + 1800, hour + 1800, hour + 2 * HOUR, gpus=("0",))
    history.agent(hour + 2 * HOUR, events.AgentDown("w", "i", "told to stop"))
    history.sample(hour + 1800, 1800, gpus=gpu_readings("0", "1", utilisation=0, power=1))
    history.sample(hour + 3599, 1799, gpus=gpu_readings("0", "1", utilisation=50, power=1))
    columns = ("agents", "slots", "slots_taken", "gpus", "gpus_taken")
    found = history.column("utilisation", *columns, hours=48)
    assert [row for row in found if any(row)] == [(1, 2, 0.5, 2, 0.5), (1, 2, 1, 2, 1)]
    used = [row for row in history.column("utilisation", "gpu_utilisation", hours=48) if row]
    assert used == [pytest.approx(25, abs=0.1)]
    [day] = [r for r in history.ask("utilisation", hours=0, every="week")][-1:]
    assert day["agents"] <= 1
    history.database.close()


def test_what_machines_did(history: History) -> None:
    history.sample(3600, 3600, machine=machine(20, 512))
    history.sample(
        7200, 3600, machine=machine(40, 768), gpus=gpu_readings("0", utilisation=80, power=1)
    )
    [found] = history.ask("machine_use")
    assert (found["agent"], found["hours"], found["cpu"], found["cpu_highest"]) == ("w", 2, 30, 40)
    assert (found["memory_highest"], found["gpus"], found["gpu"]) == (0.75, 1, 80)
    assert (found["gpu_memory_highest"], found["gpu_temperature_highest"]) == (0.5, 60)


# --- tasks ------------------------------------------------------------------------------------


@pytest.fixture
def tasks(history: History) -> History:
    """ann's run 100 s and 300 s and bob's fails after 50; one runs, one waits."""
    history.runs(A, 10, 20, 120, enqueue=0)
    history.runs(B, 10, 20, 320, enqueue=0)
    bob = replace(SPEC, user="bob", queue="r", name="other")
    history.runs(C, 10, 10, 60, FAILED, Cause.CODE, spec=bob, enqueue=0)
    history.runs(D, 10, 10, None, spec=bob, enqueue=0)
    history.enqueue(0, "e" * 12)
    history.project()
    return history


def test_throughput(tasks: History) -> None:
    found = tasks.ask("throughput", hours=12)
    assert len(found) == 13
    assert sum(row["enqueued"] for row in found) == 5
    assert sum(row["completed"] for row in found) == 2
    assert sum(row["failed"] for row in found) == 1
    assert [row["ts"] for row in found] == sorted(row["ts"] for row in found)
    assert all(row["ts"].minute == 0 for row in found)
    of_ann = tasks.ask("throughput", hours="24", every="week", user="ann")
    assert sum(row["completed"] for row in of_ann) == 2


def test_activity(tasks: History) -> None:
    columns = ("name", "enqueued", "completed", "failed", "aborted", "waiting", "running")
    assert tasks.column("activity", *columns) == [
        ("ann", 3, 2, 0, 0, 1, 0),
        ("bob", 2, 0, 1, 0, 0, 1),
    ]
    # What was enqueued before still waits and runs.
    assert tasks.column("activity", *columns, days=0.01) == [
        ("ann", 0, 0, 0, 0, 1, 0),
        ("bob", 0, 0, 0, 0, 0, 1),
    ]


def test_percentiles_of_running(tasks: History) -> None:
    columns = ("name", "attempts", "p50", "longest")
    assert tasks.column("run_percentiles", *columns) == [
        ("q", 2, 200.0, 300.0),
        ("r", 1, 50.0, 50.0),
    ]
    assert tasks.column("run_percentiles", "name", by="user", outcome="failed") == ["bob"]
    assert tasks.column("turnaround", *("name", "tasks", "p50", "run_share")) == [
        ("q", 2, 220.0, round(400 / 440, 4)),
        ("r", 1, 60.0, round(50 / 60, 4)),
    ]


def test_work_that_became_slower(tmp_path: Path) -> None:
    history = History(tmp_path, hours=24 * 10)
    day = 24 * HOUR
    for number in range(3):
        history.runs(f"{number:012d}", number, number, number + 100)
        slow = f"{number + 3:012d}"
        history.runs(slow, 9 * day, 9 * day, 9 * day + 250)
        history.runs(f"{number + 6:012d}", 0, 0, 100, spec=replace(SPEC, name="same"))
        again = f"{number + 9:012d}"
        history.runs(again, 9 * day, 9 * day, 9 * day + 100, spec=replace(SPEC, name="same"))
    found = history.column("slower_runs", "name", "before", "now", "times_as_long")
    assert found == [("train", 100.0, 250.0, 2.5)]
    assert history.ask("slower_runs", factor=3) == []
    assert history.ask("slower_runs", least=4) == []
    history.database.close()


def test_the_same_again(history: History) -> None:
    code = Code("snap", (), commit="c")
    spec = replace(SPEC, code=code, params={"lr": "1"})
    history.runs(A, 0, 0, 360, spec=spec, gpus=("0",))
    history.runs(B, 400, 400, 1120, spec=replace(spec, user="bob"), gpus=("0",))
    history.runs(C, 1200, 1200, 1300, spec=replace(spec, params={"lr": "2"}))
    history.runs(D, 1200, 1200, 1300, FAILED, Cause.CODE, spec=spec)
    [found] = history.ask("duplicates")
    assert (found["completed"], found["users"], found["extra_gpu_hours"]) == (2, "ann, bob", 0.2)
    assert (found["first_task"], found["last_task"]) == (A, B)


def test_what_people_did(history: History) -> None:
    history.enqueue(0, A, replace(SPEC, entry=Command(("a",))))
    history.of(A, (10, events.Aborted("a mistake")))
    pause = QueuePaused(queue="q", reason="maintenance")
    history.say(20, subjects.queue_events("q"), pause, by="ann@lab")
    history.agent(30, events.DrainRequested("w", "new fans"))
    found = history.column("interventions", "kind", "about", "name", "reason")
    assert found == [
        ("drain_requested", "w", None, "new fans"),
        ("queue_paused", "q", None, "maintenance"),
        ("aborted", A, "train", "a mistake"),
    ]
    assert history.column("interventions", "kind", actor="ann@lab") == ["queue_paused"]
