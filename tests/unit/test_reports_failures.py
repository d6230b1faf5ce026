"""Reports on what failed over small histories, reckoned by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from small_history import HOUR, SPEC, History, claimed, finished, lost, retry, started, up

from evq.core import events
from evq.core.events import Cause, Outcome, Package
from evq.core.spec import Code, Command, Container, Gang

FAILED, TIMED_OUT, ABORTED = Outcome.FAILED, Outcome.TIMED_OUT, Outcome.ABORTED


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    made = History(tmp_path)
    yield made
    made.database.close()


def ids(count: int, first: int = 0) -> list[str]:
    return [f"{n:012d}" for n in range(first, first + count)]


def test_failures_by_cause(history: History) -> None:
    """Two that failed by their code, one of them twice; one out of time, one lost and completed."""
    a, b, c, d, e = ids(5)
    history.enqueue(0, a)
    history.of(a, (0, claimed(1)), (0, started(1)), (100, retry(1, evidence="the first")))
    history.of(a, (100, claimed(2)), (100, started(2)), (200, finished(2, FAILED, Cause.CODE)))
    history.runs(b, 0, 0, 10, FAILED, Cause.CODE, spec=replace(SPEC, user="bob"))
    history.runs(c, 0, 0, 36, TIMED_OUT, Cause.TIME, gpus=("0",))
    history.enqueue(0, d)
    history.of(d, (0, claimed(1, agent="v")), (50, lost(1)), (60, claimed(2)), (60, started(2)))
    history.of(d, (70, finished(2)))
    history.runs(e, 0, 0, 10)
    found = {(row["outcome"], row["cause"]): row for row in history.ask("failures_by_cause")}
    assert set(found) == {("failed", "code"), ("timed_out", "time"), ("lost", "lost_agent")}
    code = found["failed", "code"]
    assert (code["attempts"], code["tasks"], code["users"], code["share"]) == (3, 2, 2, 0.6)
    assert found["timed_out", "time"]["gpu_hours"] == 0.01
    assert history.column("failures_by_cause", "attempts", user="bob") == [1]
    assert history.ask("failures_by_cause", days=0) == []


def test_rates_of_failures(history: History) -> None:
    a, b, c, d = ids(4)
    history.runs(a, 0, 0, 10)
    history.runs(b, 0, 0, 3600 / 10, FAILED, Cause.CODE, gpus=("0",))
    bob = replace(SPEC, user="bob", queue="r", project="")
    # One that somebody aborted and one whose agent was drained ended, but did not fail.
    history.runs(c, 0, 0, 10, ABORTED, Cause.ABORT, spec=bob)
    history.enqueue(0, d, bob)
    history.of(d, (0, claimed(1)), (10, lost(1, Cause.DRAINED)), (20, claimed(2)))
    ask = history.column
    columns = ("name", "attempts", "failed", "rate", "lost", "main_cause", "gpu_hours")
    assert ask("failure_rates", *columns) == [
        ("ann", 2, 1, 0.5, 0, "code", 0.1),
        ("bob", 2, 0, 0.0, 1, None, 0),
    ]
    assert ask("failure_rates", "name", by="project") == ["p", ""]
    assert ask("failure_rates", "name", "attempts", by="host") == [("h", 3), ("w", 1)]
    history.agent(0, up("w"))  # now the host of what never started is known
    assert ask("failure_rates", "name", "attempts", by="host") == [("h", 3), ("w-host", 1)]


# --- flaky hosts ------------------------------------------------------------------------------


def on_hosts(history: History, user: str, name: str, cells: dict[str, tuple[int, int]]) -> None:
    """So many tasks of a user on each host, and how many of them failed."""
    spec = replace(SPEC, user=user, name=name)
    for host, (count, failed) in cells.items():
        for number in range(count):
            task = ids(1, history.of_all)[0]
            history.of_all += 1
            bad = number < failed
            history.runs(
                task, 10, 10, 20, FAILED if bad else Outcome.COMPLETED,
                Cause.CODE if bad else None, spec=spec, agent=host, host=host,
            )  # fmt: skip


@pytest.fixture
def fleet(history: History) -> History:
    history.of_all = 0  # type: ignore[attr-defined]
    return history


def test_a_host_where_everybody_s_work_fails_is_suspect(fleet: History) -> None:
    cells = {"good-1": (20, 1), "good-2": (20, 1), "bad": (10, 6)}
    on_hosts(fleet, "ann", "train", cells)
    on_hosts(fleet, "bob", "train", cells)
    first, *rest = fleet.ask("flaky_hosts")
    assert (first["host"], first["tasks"], first["failed"]) == ("bad", 20, 12)
    # By hand: in each of the two strata 50 tasks, 8 of them failed, 10 ran there.
    expected, variance = 10 * 8 / 50, 10 * 40 * 8 * 42 / (50 * 50 * 49)
    assert first["expected"] == pytest.approx(2 * expected, abs=0.01)
    assert first["z"] == pytest.approx((12 - 2 * expected) / math.sqrt(2 * variance), abs=0.01)
    assert first["suspect"] and first["main_cause"] == "code"
    assert [row["suspect"] for row in rest] == [False, False]
    assert not any(row["suspect"] for row in fleet.ask("flaky_hosts", least=13))


def test_no_host_is_blamed_for_one_user_s_bad_tasks(fleet: History) -> None:
    # carol's work fails wherever it runs, and most of it ran on `h2`.
    on_hosts(fleet, "ann", "train", {"h1": (30, 1), "h2": (30, 1), "h3": (30, 1)})
    on_hosts(fleet, "carol", "broken", {"h1": (2, 2), "h2": (40, 40), "h3": (2, 2)})
    found = {row["host"]: row for row in fleet.ask("flaky_hosts")}
    assert found["h2"]["rate"] > 3 * found["h1"]["rate"]
    assert [found[host]["z"] for host in ("h1", "h2", "h3")] == [0, 0, 0]
    assert not any(row["suspect"] for row in found.values())


def test_work_that_ran_on_one_host_alone_tells_nothing(fleet: History) -> None:
    on_hosts(fleet, "ann", "train", {"h1": (10, 0)})
    on_hosts(fleet, "bob", "other", {"h2": (10, 10)})
    assert {row["host"]: row["z"] for row in fleet.ask("flaky_hosts")} == {"h1": 0, "h2": 0}
    # Taken as the work of one project they do differ.
    by_project = fleet.ask("flaky_hosts", same="project")
    assert (by_project[0]["host"], by_project[0]["suspect"]) == ("h2", True)


def test_the_same_work_with_other_arguments_is_the_same_work(fleet: History) -> None:
    for number in range(20):
        hosts = {"bad": (1, 1), "good": (1, 0)}
        on_hosts(fleet, "ann", f"train.py --seed {number}", hosts)
    bad, good = fleet.ask("flaky_hosts")
    assert (bad["host"], bad["suspect"], good["suspect"]) == ("bad", True, False)
    # Each seed is a stratum of two then, with as clear a result.
    assert fleet.ask("flaky_hosts", same="name")[0]["z"] == pytest.approx(
        10 / math.sqrt(5), abs=0.01
    )


def test_a_task_counts_once_on_a_host_however_often_it_is_tried(fleet: History) -> None:
    on_hosts(fleet, "ann", "train", {"h1": (3, 0), "h2": (3, 0)})
    again = "f" * 12
    fleet.enqueue(0, again)
    for attempt in range(1, 9):
        fleet.of(again, (0, claimed(attempt, agent="h1")), (0, started(attempt, "h1")))
        fleet.of(again, (10, retry(attempt)))
    [h1] = [row for row in fleet.ask("flaky_hosts") if row["host"] == "h1"]
    assert (h1["tasks"], h1["failed"], h1["suspect"]) == (4, 1, False)
    # It completed there after all: the host can run it.
    fleet.of(again, (10, claimed(9, agent="h1")), (10, started(9, "h1")), (20, finished(9)))
    assert [row["failed"] for row in fleet.ask("flaky_hosts")] == [0, 0]


# --- again and again --------------------------------------------------------------------------


def test_what_came_of_retries(history: History) -> None:
    saved, gave_up, straight, running = ids(4)
    history.enqueue(0, saved)
    history.of(saved, (0, claimed(1, "0")), (0, started(1)), (HOUR / 10, retry(1)))
    history.of(saved, (400, claimed(2)), (400, started(2)), (500, finished(2)))
    history.enqueue(0, gave_up)
    history.of(gave_up, (0, claimed(1)), (10, lost(1)), (20, claimed(2)))
    history.of(gave_up, (30, finished(2, FAILED, Cause.SOURCE)))
    history.runs(straight, 0, 0, 10)
    history.enqueue(0, running)
    history.of(running, (0, claimed(1)), (10, retry(1)), (20, claimed(2)))
    [found] = history.ask("retries")
    assert (found["tasks"], found["attempts"], found["retried"]) == (4, 7, 3)
    assert (found["completed_after"], found["failed_after"], found["losses"]) == (1, 1, 1)
    assert found["extra_gpu_hours"] == 0.1
    assert found["extra_slot_hours"] == round((HOUR / 10 + 10 + 10) / HOUR, 3)
    assert history.column("retries", "name", by="name") == ["train"]


def test_losses(history: History) -> None:
    a, b, c = ids(3)
    history.enqueue(0, a)
    history.of(a, (0, claimed(1, "0", "1")), (HOUR / 10, lost(1)))
    history.enqueue(0, b)
    history.of(b, (0, claimed(1, agent="v")), (36, lost(1, Cause.DRAINED)))
    history.of(b, (40, claimed(2, agent="v")), (76, lost(2, Cause.DRAINED)))
    history.runs(c, 0, 0, 10)
    assert history.column("losses", "agent", "cause", "attempts", "tasks", "gpu_hours") == [
        ("v", "drained", 2, 1, 0.0),
        ("w", "lost_agent", 1, 1, 0.2),
    ]


def test_streaks_of_failures(history: History) -> None:
    a, b, c, d, e, f = ids(6)
    history.runs(a, 0, 0, 10)
    history.runs(b, 20, 20, 30, FAILED, Cause.CODE)
    history.runs(c, 40, 40, 50, ABORTED, Cause.ABORT)  # tells nothing
    history.runs(d, 60, 60, 70, TIMED_OUT, Cause.TIME, spec=replace(SPEC, user="bob"))
    well = replace(SPEC, name="well")
    history.runs(e, 0, 0, 10, FAILED, Cause.CODE, spec=well)
    history.runs(f, 20, 20, 30, spec=well)
    [found] = history.ask("failing_streaks")
    assert (found["name"], found["failed"], found["users"]) == ("train", 2, "ann, bob")
    assert found["last_task"] == d
    [(completed, since)] = history.rows(
        f"SELECT make_timestamp({history.at(10)}), make_timestamp({history.at(30)})"
    )
    assert (found["last_completed"], found["since"]) == (completed, since)
    assert history.ask("failing_streaks", user="bob")[0]["failed"] == 1
    for number in range(3):
        nightly = replace(SPEC, name=f"nightly --date {number}")
        history.runs(f"{number + 9:012d}", 99, 99, 100, FAILED, Cause.CODE, spec=nightly)
    assert history.column("failing_streaks", "name", "failed")[0] == ("nightly", 3)
    assert ("nightly --date 1", 1) in history.column(
        "failing_streaks", "name", "failed", same="name"
    )


# --- what changed -----------------------------------------------------------------------------


def with_code(commit: str, **more: Any) -> Any:
    return replace(SPEC, code=Code(f"snap-{commit}", (), commit=commit, branch="main"), **more)


def test_what_changed_between_the_last_good_and_the_first_bad_run(history: History) -> None:
    a, good, aborted, bad, later, other = ids(6)
    history.runs(a, 0, 0, 10, FAILED, Cause.CODE, spec=with_code("c0"))
    environment = events.Environment(
        attempt=1, manager="uv", python="3.11", key="k1",
        packages=(Package("torch", "2.5"), Package("numpy", "2.0")),
    )  # fmt: skip
    spec = with_code(
        "c1", params={"lr": "0.1", "seed": "1"}, variables={"A": "1"}, retries=1,
        entry=Command(("train", "--lr", "0.1")), container=Container("img:1"),
    )  # fmt: skip
    history.enqueue(20, good, spec)
    history.of(
        good, (20, claimed(1, "GPU-a", agent="w")), (21, environment), (22, started(1, "h1"))
    )
    history.of(good, (30, finished(1)))
    history.runs(aborted, 31, 31, 32, ABORTED, Cause.ABORT, spec=with_code("c9"))
    changed = replace(
        spec, code=with_code("c2").code, params={"lr": "0.2", "seed": "1", "new": "x"},
        entry=Command(("train", "--lr", "0.2")), variables={"A": "2"}, retries=0, user="bob",
        container=Container("img:2"),
    )  # fmt: skip
    newer = replace(environment, key="k2", packages=(Package("torch", "2.6"),), image="sha256:b")
    history.enqueue(40, bad, changed)
    history.of(bad, (40, claimed(1, "GPU-b", agent="v")), (41, newer), (42, started(1, "h2")))
    history.of(bad, (50, finished(1, FAILED, Cause.OOM_HOST)))
    history.runs(later, 60, 60, 70, FAILED, Cause.CODE, spec=with_code("c3"))
    history.runs(other, 60, 60, 70, FAILED, spec=with_code("c1", project="else"))
    found = history.column("what_changed", "what", "item", "good", "bad", name="train", project="p")
    assert found[0] == ("task", "", good, bad)
    by_what = {(what, item): (before, after) for what, item, before, after in found}
    assert by_what["outcome", ""] == ("completed", "failed: oom_host")
    assert by_what["commit", ""] == ("c1", "c2")
    assert by_what["snapshot", ""] == ("snap-c1", "snap-c2")
    assert by_what["param", "lr"] == ("0.1", "0.2")
    assert by_what["param", "new"] == (None, "x")
    assert by_what["package", "torch"] == ("2.5", "2.6")
    assert by_what["package", "numpy"] == ("2.0", None)
    assert by_what["environment", ""] == ("k1", "k2")
    assert by_what["image", ""] == (None, "sha256:b")
    assert (by_what["agent", ""], by_what["host", ""]) == (("w", "v"), ("h1", "h2"))
    assert by_what["gpu", ""] == ("GPU-a", "GPU-b")
    assert by_what["variable", "A"] == ("1", "2")
    assert by_what["user", ""] == ("ann", "bob")
    assert by_what["spec", "retries"] == ("1", None)
    assert "img:2" in by_what["spec", "container"][1]
    assert ("param", "seed") not in by_what and ("branch", "") not in by_what
    assert ("python", "") not in by_what and ("queue", "") not in by_what
    assert history.ask("what_changed", name="train", entry="nothing like it") == []
    assert history.ask("what_changed", name="no such name") == []


def test_what_changed_among_runs_with_other_arguments(history: History) -> None:
    good, bad = ids(2)
    for task, lr, outcome in ((good, "0.1", Outcome.COMPLETED), (bad, "9", FAILED)):
        spec = replace(SPEC, name=f"train.py --lr {lr}", params={"lr": lr})
        history.runs(task, 0, 0, 10, outcome, spec=spec)
    found = history.column("what_changed", "what", "good", "bad", name="train.py")
    assert ("param", "0.1", "9") in found
    assert history.ask("what_changed", name="train.py --lr 0.1") == []


def test_the_newest_break_is_told_and_ranks_of_gangs_are_one_run(history: History) -> None:
    a, b, c, d, e = ids(5)
    history.runs(a, 0, 0, 10, spec=with_code("c1"))
    history.runs(b, 20, 20, 30, FAILED, Cause.CODE, spec=with_code("c2"))
    history.runs(c, 40, 40, 50, spec=with_code("c3"))
    history.runs(d, 60, 60, 70, FAILED, Cause.CODE, spec=with_code("c4", retries=2))
    second = with_code("c5", nodes=2, gang=Gang(d, 1))
    history.runs(e, 60, 60, 70, FAILED, Cause.GANG, spec=second)
    found = history.column("what_changed", "what", "good", "bad", name="train")
    assert ("commit", "c3", "c4") in found and found[0] == ("task", c, d)
    # All is well again: the last break is still what there is to tell.
    history.runs("f" * 12, 80, 80, 90, spec=with_code("c6"))
    assert history.column("what_changed", "bad", name="train")[0] == d
