"""Reports on waiting and set-up over small histories, reckoned by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from small_history import HOUR, SPEC, History, claimed, finished, lost, phase, retry, started, up

from evq.core import events
from evq.core.events import Outcome

A, B, C, D = ("a" * 12, "b" * 12, "c" * 12, "d" * 12)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    """In queue `q` ann's task waits 10 s, and 20 s more behind the delay of its retry; in `r` bob's
    waits 60 s. One more of bob's waits still, since half an hour; and one was aborted."""
    made = History(tmp_path)
    made.agent(0, up("w", "0", "1", "2", "3"))
    ann, bob = replace(SPEC, gpus=2), replace(SPEC, gpus=2, user="bob", queue="r", project="s")
    made.enqueue(0, A, ann)
    made.of(A, (10, claimed(1, "0", "1")), (110, retry(1, delay=5.0)))
    made.enqueue(50, B, bob)
    made.of(B, (110, claimed(1, "0", "1")), (110, started(1)), (210, finished(1)))
    made.of(A, (135, claimed(2, "2", "3")), (145, started(2)), (235, finished(2)))
    made.agent(300, events.AgentPaused("w", "i", "disk"))
    made.agent(400, events.AgentResumed("w", "i", "after disk"))
    made.agent(500, events.AgentDown("w", "i", "told to stop"))
    made.enqueue(1800, C, replace(bob, gpus=0, priority=7))
    made.enqueue(1800, D, replace(bob, gpus=0))
    made.of(D, (1830, events.Aborted("not any more")))
    made.project()
    yield made
    made.database.close()


def test_percentiles_of_waiting(history: History) -> None:
    ask = history.column
    assert ask("wait_percentiles", "name", "waits", "p50", "p90", "longest") == [
        ("q", 2, 15.0, 19.0, 20.0),
        ("r", 1, 60.0, 60.0, 60.0),
    ]
    assert ask("wait_percentiles", "name", "longest", by="user") == [("ann", 20.0), ("bob", 60.0)]
    assert ask("wait_percentiles", "name", "waits", by="project") == [("p", 2), ("s", 1)]
    assert ask("wait_percentiles", "name", user="bob") == ["r"]
    assert ask("wait_percentiles", "name", queue="q", project="s") == []
    # The last claim was 57 minutes ago.
    assert ask("wait_percentiles", "name", days=0.01) == []


def test_waiting_over_time(history: History) -> None:
    found = history.ask("wait_trend", every="week")
    assert sum(row["waits"] for row in found) == 3
    assert max(row["longest"] for row in found) == 60.0
    assert history.column("wait_trend", "p50", every="week", queue="r") == [60.0]


def test_those_that_wait_now(history: History) -> None:
    [found] = history.ask("long_waiting")
    assert (found["task"], found["user"], found["queue"], found["priority"]) == (C, "bob", "r", 7)
    assert found["seconds"] == pytest.approx(1800, abs=20)
    assert history.ask("long_waiting", queue="q") == []
    # A retry whose delay is not over waits, but for no time yet.
    history.runs("e" * 12, 3000, 3001, None)
    history.of("e" * 12, (3010, retry(1, delay=7200.0)))
    assert history.column("long_waiting", "task", "seconds", user="ann") == [("e" * 12, 0.0)]


def test_depth_over_time(history: History) -> None:
    depths: dict[str, list[int]] = {}
    for row in history.ask("queue_depth", hours=2, points=720):
        depths.setdefault(row["queue"], []).append(row["depth"])
    # Ten seconds a point: one task waits in `q` for 10 s and then 20, in `r` for 60, 30, and on.
    assert 2 <= sum(depths["q"]) <= 4
    assert 5 + 2 + 179 <= sum(depths["r"]) <= 7 + 4 + 182
    assert (depths["q"][-1], depths["r"][-1]) == (0, 1)
    assert {row["queue"] for row in history.ask("queue_depth", queue="q")} == {"q"}
    # What began to wait before the first moment counts, too.
    assert {row["depth"] for row in history.ask("queue_depth", hours=0.1, points=5)} == {1}


def test_gpus_that_were_idle_while_somebody_waited(history: History) -> None:
    [found] = history.ask("idle_while_waiting")
    assert found["offered"] == pytest.approx(4 * (300 + 100) / HOUR, abs=2e-3)
    assert found["taken"] == pytest.approx((200 + 200 + 200) / HOUR, abs=2e-3)
    assert found["idle"] == pytest.approx((1600 - 600) / HOUR, abs=2e-3)
    # 0 to 10 s all four, 50 to 110 two, 115 to 135 two.
    assert found["idle_while_waiting"] == pytest.approx((40 + 120 + 40) / HOUR, abs=2e-3)
    assert found["hours_of_it"] == pytest.approx((10 + 60 + 20) / HOUR, abs=2e-3)


def test_a_retry_that_is_delayed_does_not_wait_yet(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.agent(0, up("w", "0"))
    spec = replace(SPEC, gpus=1)
    history.runs(A, 0, 0, None, spec=spec, gpus=("0",))
    history.of(A, (1800, retry(1, delay=7200.0)))
    # Claimed before its delay was over, by the clock of another machine.
    history.runs(B, 0, 0, None, spec=spec, gpus=("0",))
    history.of(
        B, (900, retry(1, delay=600.0)), (1000, claimed(2, "0")), (1800, retry(2, delay=9e4))
    )
    [found] = history.ask("idle_while_waiting")
    assert (found["idle_while_waiting"], found["hours_of_it"]) == (0, 0)
    assert found["offered"] == pytest.approx(1, abs=0.01)
    assert found["idle"] == pytest.approx(0.5, abs=0.01)
    history.database.close()


def test_shares_take_a_part_of_what_is_offered(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.agent(0, up("w", "0", memory=100))
    for task in "ab":
        spec = replace(SPEC, gpus=1, gpu_memory=25)
        history.runs(task * 12, 0, 0, 3600, spec=spec, gpus=("0",), gpu_memory=25)
    history.agent(3600, events.AgentDown("w", "i", "told to stop"))
    [found] = history.ask("idle_while_waiting", days=1)
    assert (found["offered"], found["taken"], found["idle"]) == (1.0, 0.5, 0.5)
    assert found["idle_while_waiting"] == 0
    history.database.close()


# --- set-up -----------------------------------------------------------------------------------


@pytest.fixture
def set_up(tmp_path: Path) -> Iterator[History]:
    """Three attempts with phases: ann's builds for 40 s, bob's finds it in the cache in 1 s, and
    bob's second ends in set-up after 100 s."""
    made = History(tmp_path)
    made.enqueue(0, A)
    made.of(
        A,
        (0, claimed(1)),
        (0, phase(1, "code")),
        (10, phase(1, "code", 10.0, False)),
        (10, phase(1, "environment")),
        (50, phase(1, "environment", 40.0, False)),
        (50, events.Environment(attempt=1, manager="uv", python="3.12", key="k" * 20)),
        (50, started(1)),
        (150, finished(1)),
    )
    bob = replace(SPEC, user="bob", queue="r")
    made.enqueue(200, B, bob)
    made.of(
        B,
        (200, claimed(1, agent="v")),
        (200, phase(1, "code")),
        (202, phase(1, "code", 2.0, True)),
        (202, phase(1, "environment")),
        (203, phase(1, "environment", 1.0, True)),
        (203, events.Environment(attempt=1, manager="uv", python="3.12", key="k" * 20)),
        (203, started(1)),
        (210, finished(1)),
    )
    made.enqueue(300, C, bob)
    made.of(
        C,
        (300, claimed(1, agent="v")),
        (300, phase(1, "image")),
        (400, finished(1, Outcome.FAILED, events.Cause.ENVIRONMENT)),
    )
    made.project()
    yield made
    made.database.close()


def test_percentiles_of_set_up(set_up: History) -> None:
    found = set_up.column("setup_percentiles", "name", "attempts", "p50", "longest")
    assert found == [("q", 1, 50.0, 50.0), ("r", 1, 3.0, 3.0)]
    assert set_up.column("setup_percentiles", "name", by="agent") == ["v", "w"]
    assert set_up.column("setup_percentiles", "p50", "attempts", by="project") == [(26.5, 2)]


def test_the_share_of_set_up(set_up: History) -> None:
    assert set_up.column("setup_share", "name", "attempts", "share", "failed_in_setup") == [
        ("q", 1, round(50 / 150, 4), 0),
        ("r", 2, round(103 / 110, 4), 1),
    ]


def test_steps_of_set_up(set_up: History) -> None:
    found = {row["phase"]: row for row in set_up.ask("setup_phases")}
    environment = found["environment"]
    assert (environment["times"], environment["p50"], environment["longest"]) == (2, 20.5, 40.0)
    assert environment["share"] == round(41 / 53, 4)
    assert (environment["lookups"], environment["hits"], environment["hit_rate"]) == (2, 1, 0.5)
    # The image was still being fetched when its attempt ended: nobody knows for how long.
    assert (found["image"]["times"], found["image"]["lookups"]) == (1, 0)
    assert found["image"]["hit_rate"] is None
    assert set_up.column("setup_phases", "times", user="bob", queue="r") != []


def test_what_caches_saved(set_up: History) -> None:
    assert set_up.column("cache_hits", "name", "lookups", "hits", "hit_rate", "saved_hours") == [
        ("code", 2, 1, 0.5, round(8 / HOUR, 3)),
        ("environment", 2, 1, 0.5, round(39 / HOUR, 3)),
    ]
    by_user = set_up.column("cache_hits", "name", "hit_rate", "miss_p50", by="user")
    assert by_user == [("ann", 0.0, 25.0), ("bob", 1.0, None)]
    [bob] = [row for row in set_up.ask("cache_hits", by="user") if row["name"] == "bob"]
    assert bob["saved_hours"] == round(47 / HOUR, 3)


def test_the_slowest_set_ups(set_up: History) -> None:
    first, second, third = set_up.ask("slowest_setups")
    assert (first["task"], first["seconds"], first["slowest_phase"]) == (C, 100.0, None)
    assert (second["task"], second["slowest_phase"]) == (A, "environment")
    assert (second["phase_seconds"], second["cached"]) == (40.0, False)
    assert third["seconds"] == 3.0
    assert len(set_up.ask("slowest_setups", limit="1")) == 1


def test_environments_that_are_used_again(set_up: History) -> None:
    [found] = set_up.ask("environments")
    assert (found["environment"], found["manager"], found["python"]) == ("k" * 12, "uv", "3.12")
    assert (found["attempts"], found["tasks"], found["users"], found["agents"]) == (2, 2, 2, 2)
    assert (found["built"], found["build_p50"]) == (1, 40.0)


def test_lost_attempts_wait_again(history: History) -> None:
    history.runs("e" * 12, 2000, 2001, None, spec=replace(SPEC, queue="z"))
    history.of("e" * 12, (2100, lost(1)), (2130, claimed(2)))
    assert history.column("wait_percentiles", "waits", "longest", queue="z") == [(2, 30.0)]
