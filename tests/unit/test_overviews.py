"""Overviews over a small history whose figures are known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from small_history import GIB, HOUR, SPEC, History, claimed, finished, retry, started, up

from evq.core import events
from evq.core.events import Cause, Outcome
from evq.core.spec import After, Gang

WITH_GPUS = replace(SPEC, gpus=2)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    """Two tasks on an agent with four GPUs: one waits 10 s, fails in set-up after 100 s, waits
    20 s more behind its delay and runs; the other waits 60 s for GPUs, half of which are idle."""
    made = History(tmp_path)
    made.agent(0, up("w", "0", "1", "2", "3"))
    made.enqueue(0, "aaaaaaaaaaaa", WITH_GPUS)
    made.of("aaaaaaaaaaaa", (10, claimed(1, "0", "1")))
    made.enqueue(50, "bbbbbbbbbbbb", replace(WITH_GPUS, user="bob", queue="r"))
    made.of("aaaaaaaaaaaa", (110, retry(1, None, 5.0)))
    made.of("bbbbbbbbbbbb", (110, claimed(1, "0", "1")), (110, started(1)))
    made.of("aaaaaaaaaaaa", (135, claimed(2, "2", "3")), (145, started(2)))
    made.of("aaaaaaaaaaaa", (235, finished(2)))
    made.of("bbbbbbbbbbbb", (210, finished(1)))
    made.agent(300, events.AgentPaused("w", "i", "disk"))
    made.agent(400, events.AgentResumed("w", "i", "after disk"))
    made.agent(500, events.AgentDown("w", "i", "told to stop"))
    made.project()
    yield made
    made.database.close()


def test_every_wait_has_its_length_and_its_reason(history: History) -> None:
    found = history.rows(
        "SELECT task[1], attempt, after, ended_by, seconds FROM waits ORDER BY since"
    )
    assert found == [
        ("a", 1, "enqueued", "claimed", 10.0),
        ("b", 1, "enqueued", "claimed", 60.0),
        ("a", 2, "retry", "claimed", 20.0),
    ]


def test_every_gpu_of_every_attempt(history: History) -> None:
    found = history.rows(
        "SELECT gpu, task[1], attempt, seconds, taken_back > given FROM gpu_claims"
        " ORDER BY given, gpu"
    )
    assert found == [
        ("0", "a", 1, 100.0, True),
        ("1", "a", 1, 100.0, True),
        ("0", "b", 1, 100.0, True),
        ("1", "b", 1, 100.0, True),
        ("2", "a", 2, 100.0, True),
        ("3", "a", 2, 100.0, True),
    ]
    assert history.ask("gpu_overlaps", days=100_000) == []


def test_a_shared_gpu_counts_by_its_share(history: History) -> None:
    history.agent(600, up("v", "big", "small", memory=40 * GIB))
    history.agent(600, up("u", "unknown"))
    for task, gpu in (("c", "big"), ("d", "small"), ("e", "unknown"), ("f", "big")):
        spec = replace(SPEC, gpus=1, gpu_memory=None if task == "f" else 10 * GIB)
        history.runs(task * 12, 700, 710, 1060, spec=spec, gpus=(gpu,), gpu_memory=spec.gpu_memory)
    history.runs("g" * 12, 700, 710, 1060, gpus=("big", "small"), gpu_memory=80 * GIB)
    found = history.rows(
        "SELECT task[1], gpus, gpu_share, round(gpu_hours, 6) FROM usage WHERE claimed >= "
        f"make_timestamp({history.at(700)}) ORDER BY task"
    )
    tenth = 360 / HOUR
    assert found == [
        ("c", 1, 0.25, tenth / 4),
        ("d", 1, 0.25, tenth / 4),
        ("e", 1, 1.0, tenth),  # nobody said how large it is
        ("f", 1, 1.0, tenth),
        ("g", 2, 2.0, tenth * 2),  # it asked for more than there is
    ]
    shares = history.rows("SELECT gpu, share FROM gpu_claims WHERE task[1] IN ('c', 'g')")
    assert sorted(shares) == [("big", 0.25), ("big", 1.0), ("small", 1.0)]


def test_an_attempt_whose_end_is_open_goes_on_until_now(history: History) -> None:
    history.runs("c" * 12, 1800, 1810, None, gpus=("0",))
    [(held, ran, wasted)] = history.rows(
        "SELECT held_seconds, run_seconds, wasted FROM usage WHERE task[1] = 'c'"
    )
    assert (held, ran) == (pytest.approx(1800, abs=20), pytest.approx(1790, abs=20))
    assert wasted is False
    # A clock that goes backwards makes nothing negative.
    history.runs("d" * 12, 2000, 1990, 1980)
    assert history.rows("SELECT held_seconds, setup_seconds FROM usage WHERE task[1] = 'd'") == [
        (0.0, 0.0)
    ]


def test_a_gpu_in_two_attempts_at_once_would_be_found(history: History) -> None:
    history.enqueue(600, "cccccccccccc")
    history.enqueue(600, "dddddddddddd")
    history.of("cccccccccccc", (601, claimed(1, "0", "1")))
    history.of("dddddddddddd", (602, claimed(1, "1", "2")))
    history.project()
    (found,) = history.ask("gpu_overlaps", days=100_000)
    assert (found["gpu"], found["task"][0], found["other"][0]) == ("1", "c", "d")


def test_what_awaits_others_waits_in_its_queue_from_their_end_on(history: History) -> None:
    first, held, never = "cccccccccccc", "dddddddddddd", "eeeeeeeeeeee"
    history.enqueue(300, first)
    for task, on in ((held, "ok"), (never, "failed")):
        history.enqueue(310, task, replace(SPEC, after=(After(first, on),)))  # type: ignore[arg-type]
    history.of(first, (311, events.Awaited((held, never))), (320, claimed(1)))
    history.of(first, (330, finished(1, Outcome.COMPLETED)))
    for task in (held, never):
        end = events.DependencyEnd(first, Outcome.COMPLETED)
        history.of(task, (330, events.DependenciesEnded((end,))))
    history.of(held, (342, claimed(1)))
    history.project()
    assert history.rows(
        "SELECT after, ended_by, seconds FROM waits WHERE task IN "
        f"('{held}', '{never}') ORDER BY task"
    ) == [("dependencies_ended", "claimed", 12.0)]
    assert history.rows("FROM dependencies ORDER BY task") == [
        (held, first, "ok", "completed", True),
        (never, first, "failed", "completed", False),
    ]
    assert history.rows(f"SELECT state, cause FROM tasks WHERE task = '{never}'") == [
        ("aborted", "dependency")
    ]


def test_an_agent_that_somebody_drained_is_not_up(history: History) -> None:
    history.agent(600, up("v", "0"))
    history.agent(700, events.DrainRequested("v", "new fans"))
    history.agent(710, events.DrainRequested("v", "one fan", gpus=("0",)))
    history.agent(800, events.AgentDown("v", "i", "told to stop"))
    history.agent(810, events.DrainRequested("v", "still"))
    history.agent(900, up("v", "0"))
    history.agent(950, events.ResumeRequested("v", "they are in"))
    history.agent(1000, events.AgentLost("v", "i", "silent"))
    found = history.rows(
        "SELECT state, seconds, gpus, reason FROM agent_history WHERE agent = 'v' ORDER BY since"
    )
    assert [row[0] for row in found] == ["up", "drained", "down", "drained", "up", "lost"]
    assert [row[1] for row in found[:-1]] == [100.0, 100.0, 100.0, 50.0, 50.0]
    assert {row[2] for row in found} == {1}
    assert found[1][3] == "new fans"


def test_members_of_a_gang_wait_again_or_no_more_when_it_is_disbanded(history: History) -> None:
    """Rank 0 fails while rank 1 runs, rank 2 waits and rank 3 has ended; then all is over."""
    ranks = ["cccccccccccc", "dddddddddddd", "eeeeeeeeeeee", "ffffffffffff"]
    for rank, task in enumerate(ranks):
        spec = replace(SPEC, nodes=4, gang=Gang(ranks[0], rank))
        history.enqueue(300, task, spec)
        if rank != 2:
            history.of(task, (310, claimed(1)), (310, started(1)))
    first, running, waiting, ended = ranks
    history.of(ended, (320, finished(1)))
    history.of(first, (400, retry(1, delay=10.0)))
    again = events.Disbanded(
        rank=0, evidence="rank 0 failed", again=True, delay=10.0, spent="retries"
    )
    for task in (running, waiting, ended):
        history.of(task, (400, again))
    history.of(running, (405, retry(1, Cause.GANG, delay=5.0)))
    for task in (first, running, ended):
        history.of(task, (430, claimed(2)))
    over = events.Disbanded(rank=0, evidence="rank 0 failed")
    history.of(first, (500, finished(2, Outcome.FAILED, Cause.CODE)))
    for task in (running, waiting, ended):
        history.of(task, (500, over))
    found = history.rows(
        "SELECT task[1], after, ended_by, seconds FROM waits WHERE task >= 'c' ORDER BY task, since"
    )
    assert found == [
        ("c", "enqueued", "claimed", 10.0),
        ("c", "retry", "claimed", 20.0),
        ("d", "enqueued", "claimed", 10.0),
        ("d", "retry", "claimed", 20.0),
        ("e", "enqueued", "disbanded", 100.0),
        ("e", "disbanded", "disbanded", 90.0),
        ("f", "enqueued", "claimed", 10.0),
        ("f", "disbanded", "claimed", 20.0),
    ]


def test_what_is_held_does_not_wait_in_its_queue(history: History) -> None:
    history.enqueue(300, "dddddddddddd", replace(SPEC, after=(After("cccccccccccc"),)))
    history.project()
    assert history.rows("SELECT task FROM waits WHERE task = 'dddddddddddd'") == []
    assert history.rows("SELECT outcome, met FROM dependencies") == [(None, None)]
    assert history.rows("SELECT task FROM tasks WHERE state = 'held'") == [("dddddddddddd",)]
