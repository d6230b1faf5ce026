"""The judge is judged: each invariant lets good logs pass and catches its own mutant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from oracle import invariants, violations

Log = list[dict[str, Any]]


def good_log() -> Log:
    """A log with a bit of everything, in which all is well."""
    up = {"kind": "agent_up", "by": "a"}
    t = {"task": "t", "by": "a"}
    log: Log = [
        {"kind": "enqueued", "task": "t", "by": "user", "retries": 1, "losses": 1},
        {**up, "agent": "a", "instance": "a1"},
        {**up, "agent": "b", "instance": "b1", "by": "b"},
        {**t, "kind": "claimed", "attempt": 1, "agent": "a", "instance": "a1", "hint": 1},
        {**t, "kind": "started", "attempt": 1},
        {**t, "kind": "retry", "attempt": 1, "outcome": "failed", "cause": "code"},
        {**t, "kind": "claimed", "attempt": 2, "agent": "a", "instance": "a1", "hint": 1},
        {**t, "kind": "phase", "attempt": 2},
        {**t, "kind": "lost", "attempt": 2, "cause": "lost_agent", "by": "b"},
        {
            **t,
            "kind": "claimed",
            "attempt": 3,
            "agent": "b",
            "instance": "b1",
            "hint": 1,
            "by": "b",
        },
        {**t, "kind": "started", "attempt": 3, "by": "b"},
        {**t, "kind": "finished", "attempt": 3, "outcome": "completed", "by": "b"},
        {**t, "kind": "requeued", "by": "user"},
        {**t, "kind": "again", "by": "user"},
        {
            **t,
            "kind": "claimed",
            "attempt": 4,
            "agent": "b",
            "instance": "b1",
            "hint": 14,
            "by": "b",
        },
        {**t, "kind": "abort_requested", "by": "user"},
        {**t, "kind": "finished", "attempt": 4, "outcome": "aborted", "cause": "abort", "by": "b"},
        {"kind": "enqueued", "task": "u", "by": "user", "retries": 0, "losses": 3},
        {"kind": "aborted", "task": "u", "by": "user"},
        {"kind": "agent_down", "agent": "b", "instance": "b1", "by": "b"},
        {"kind": "enqueued", "task": "v", "by": "user", "retries": 0, "losses": 3},
        {"kind": "moved", "task": "v", "by": "user"},
        {"kind": "again", "task": "v", "by": "user"},
        {
            "kind": "claimed",
            "task": "v",
            "attempt": 1,
            "agent": "a",
            "instance": "a1",
            "hint": 23,
            "by": "a",
        },
        {"kind": "finished", "task": "v", "attempt": 1, "outcome": "completed", "by": "a"},
        {"kind": "requeued", "task": "v", "by": "user"},
        {"kind": "again", "task": "v", "by": "user"},
        {"kind": "dequeued", "task": "v", "by": "user"},
    ]
    return numbered(log)


def numbered(log: Log) -> Log:
    """The log with sequences and ids that fit."""
    return [{**event, "seq": n, "id": event.get("id", f"id-{n}")} for n, event in enumerate(log, 1)]


ACKED = [("t", 1), ("u", 18)]


def change(number: int, **fields: Any) -> Callable[[Log], Log]:
    """A log in which the event `number` has other fields."""
    return lambda log: [{**e, **fields} if e["seq"] == number else e for e in log]


def insert(number: int, **event: Any) -> Callable[[Log], Log]:
    """A log in which another event comes after `number`; hints further on keep their meaning."""

    def mutate(log: Log) -> Log:
        moved = [{**e, "hint": e["hint"] + (e["hint"] > number)} if "hint" in e else e for e in log]
        unnamed = [{key: e[key] for key in e if key not in ("seq", "id")} for e in moved]
        return numbered([*unnamed[:number], {"by": "a", **event}, *unnamed[number:]])

    return mutate


def drop(number: int) -> Callable[[Log], Log]:
    """A log without one event, and no hole where it was."""

    def mutate(log: Log) -> Log:
        moved = [{**e, "hint": e["hint"] - (e["hint"] > number)} if "hint" in e else e for e in log]
        kept = [e for e in moved if e["seq"] != number]
        return numbered([{key: e[key] for key in e if key != "seq"} for e in kept])

    return mutate


b3 = {"task": "t", "attempt": 3, "by": "b"}
MUTANTS: list[tuple[str, Callable[[Log], Log]]] = [
    ("log_is_dense", lambda log: [e for e in log if e["seq"] != 20]
     + [{**log[19], "seq": 40}]),
    ("vocabulary_is_closed", change(20, kind="unknown")),
    ("ids_are_unique", change(20, id="id-1")),
    ("enqueued_first_and_once", insert(5, kind="enqueued", task="t", retries=1, losses=1)),
    ("enqueued_first_and_once", drop(18)),
    ("acknowledged_enqueue_is_there", drop(18)),
    ("attempts_are_consecutive", change(15, attempt=5)),
    ("one_live_attempt", drop(9)),
    ("attempt_ends_at_most_once", insert(9, kind="lost", task="t", attempt=2, cause="drained")),
    ("attempt_starts_at_most_once", insert(5, kind="started", task="t", attempt=1)),
    ("attempt_speaks_between_claim_and_end", insert(10, kind="phase", task="t", attempt=2)),
    ("attempt_speaks_between_claim_and_end", insert(6, kind="started", task="t", attempt=1)),
    ("attempt_speaks_between_claim_and_end", change(12, attempt=2, by="a")),
    ("only_the_holder_speaks", change(11, by="a")),
    ("only_the_holder_speaks", change(12, by="a")),
    ("only_the_holder_speaks", change(6, by="b")),
    ("claims_follow_an_announcement", change(10, instance="b2")),
    ("who_said_goodbye_claims_nothing",
     insert(9, kind="agent_down", agent="b", instance="b1", by="b")),
    ("claims_come_from_a_hint", change(10, hint=18)),
    ("claims_come_from_a_hint", change(10, hint=4)),
    ("nothing_after_the_end_but_requeued", insert(12, kind="phase", **b3)),
    ("nothing_after_the_end_but_requeued",
     insert(19, kind="claimed", task="u", attempt=1, agent="a", instance="a1", hint=18)),
    ("requeued_only_after_the_end", insert(9, kind="requeued", task="t")),
    ("only_what_waits_is_moved_or_dequeued", insert(4, kind="moved", task="t")),
    ("only_what_waits_is_moved_or_dequeued", insert(25, kind="dequeued", task="v")),
    ("only_what_has_ended_is_archived", insert(4, kind="archived", task="t")),
    ("a_new_place_has_a_new_hint", insert(22, kind="phase", task="t", attempt=1)),
    ("a_new_place_has_a_new_hint", insert(6, kind="moved", task="t")),
    ("claims_follow_from_no_stale_hint", change(24, hint=21)),
    ("no_claim_after_an_abort", insert(6, kind="aborted", task="t")),
    ("no_claim_after_an_abort", insert(8, kind="abort_requested", task="t")),
    ("budgets_are_kept", change(1, retries=0)),
    ("budgets_are_kept", change(1, losses=0)),
    ("every_claim_has_ended", drop(17)),
    ("one_terminal_event", drop(19)),
    ("one_terminal_event", insert(12, kind="finished", outcome="failed", **b3)),
]  # fmt: skip


def test_a_good_log_passes() -> None:
    assert violations(good_log(), ACKED) == {}


def test_an_empty_log_passes() -> None:
    assert violations([]) == {}


@pytest.mark.parametrize(("name", "mutate"), MUTANTS, ids=[name for name, _ in MUTANTS])
def test_its_mutant_is_caught(name: str, mutate: Callable[[Log], Log]) -> None:
    assert name in violations(mutate(good_log()), ACKED)


def test_every_invariant_has_a_mutant() -> None:
    assert set(invariants()) == {name for name, _ in MUTANTS}
