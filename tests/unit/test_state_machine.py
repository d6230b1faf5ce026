"""Whatever agents and messages do, the log stays sound; and whoever says so is tested, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis
import msgspec
import pytest
from cluster import Cluster, Violation
from hypothesis.stateful import run_state_machine_as_test

from evq.core import decide, events, evolve
from evq.core.decide import Holder, Rejected
from evq.core.events import Cause
from evq.core.state import Task

SETTINGS = hypothesis.settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)


def test_whatever_happens_the_log_is_sound() -> None:
    run_state_machine_as_test(Cluster, settings=SETTINGS)  # type: ignore[no-untyped-call]


# --- the witness is tested, too ---------------------------------------------------------------


class Alone(Cluster):
    """The witness alone, so that it cannot be the fold who notices."""

    trusts_the_fold = False


class Careless(Alone):
    """On a server that ignores expectations."""

    holds_expectations = False


def anybody_speaks(task: Task, holder: Holder) -> Any:
    if task.live is None:
        raise Rejected("nothing is live")
    return task.live


def claim_over(task: Task, command: decide.Claim) -> events.Lifecycle:
    return events.Claimed(
        attempt=len(task.attempts) + 1,
        agent=command.agent,
        instance=command.instance,
        slot=0,
        hint=1,
        lease=1.0,
    )


def same_number_again(task: Task, command: decide.Claim) -> events.Lifecycle:
    event = sound_claim(task, command)
    return msgspec.structs.replace(event, attempt=max(1, len(task.past)))


sound_claim: Callable[[Task, decide.Claim], Any] = decide._claim
sound_finish: Callable[[Task, decide.Finish], Any] = decide._finish
sound_lost: Callable[..., Task] = evolve._lost
sound_retry: Callable[..., Task] = evolve._retry


def abort_forgotten(task: Task, command: decide.GiveBack) -> events.Lifecycle:
    number = decide._held(task, command.holder).number
    return events.Lost(attempt=number, cause=Cause.DRAINED, why=command.why)


def abort_retried(task: Task, command: decide.Finish) -> events.Lifecycle:
    return sound_finish(msgspec.structs.replace(task, abort=None), command)


def losses_for_nothing(task: Task, *args: Any) -> Task:
    return msgspec.structs.replace(sound_lost(task, *args), losses=task.losses)


def retries_for_nothing(task: Task, *args: Any) -> Task:
    return msgspec.structs.replace(sound_retry(task, *args), failures=task.failures)


def start_twice(task: Task, command: decide.Start) -> events.Lifecycle:
    number = decide._held(task, command.holder).number
    return events.Started(attempt=number, pid=1, argv=(), host="h", folder="/")


def requeue_anything(task: Task, reason: str, held: bool) -> events.Lifecycle:
    return events.Requeued(reason, held)


def abort_anything(task: Task, reason: str) -> events.Lifecycle:
    return events.Aborted(reason)


def lost_by_any_number(task: Task, command: decide.DeclareLost) -> events.Lifecycle:
    return events.Lost(attempt=command.attempt, cause=Cause.LOST_AGENT, why="w")


def archive_anything(task: Task, reason: str) -> events.Lifecycle:
    return events.Archived(reason)


MUTANTS = [
    (decide, "_held", anybody_speaks),
    (decide, "_claim", claim_over),
    (decide, "_claim", same_number_again),
    (decide, "_give_back", abort_forgotten),
    (decide, "_finish", abort_retried),
    (decide, "_start", start_twice),
    (decide, "_requeue", requeue_anything),
    (decide, "_abort", abort_anything),
    (decide, "_declare_lost", lost_by_any_number),
    (decide.filing, "archive", archive_anything),
    (evolve, "_lost", losses_for_nothing),
    (evolve, "_retry", retries_for_nothing),
]

HUNT = hypothesis.settings(
    SETTINGS,
    max_examples=6000,
    database=None,
    derandomize=True,
    phases=[hypothesis.Phase.generate],
    print_blob=False,
    verbosity=hypothesis.Verbosity.quiet,
)


@pytest.mark.parametrize(
    ("module", "name", "mutant"), MUTANTS, ids=[mutant.__name__ for _, _, mutant in MUTANTS]
)
def test_the_witness_notices_a_broken_heart(
    module: Any, name: str, mutant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, mutant)
    with pytest.raises(Violation):
        run_state_machine_as_test(Alone, settings=HUNT)  # type: ignore[no-untyped-call]


def test_the_witness_notices_a_server_without_expectations() -> None:
    with pytest.raises(Violation):
        run_state_machine_as_test(Careless, settings=HUNT)  # type: ignore[no-untyped-call]
