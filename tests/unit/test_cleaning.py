"""Cleaning: what may stand in a policy, and which rule takes what of which task."""

from __future__ import annotations

from typing import Any

import pytest

from evq.core import events
from evq.core.artifacts import Artifact, artifacts_of, find_artifact
from evq.core.cleaning.cleaned import ALL, left_of, removal_of
from evq.core.commands import Clean
from evq.core.decide import Requeue, decide
from evq.core.errors import NotFound, UsageError
from evq.core.evolve import create, evolve
from evq.core.journal import Noted
from evq.core.rejections import Rejected
from evq.core.spec import Code, Command, Spec
from evq.core.state import Task
from evq.services.clean.facts import Asked, Began, Carried, Defined, State, begin
from evq.services.clean.facts import evolve as fold
from evq.services.clean.plan import Left, Look, Plan, plan
from evq.services.clean.policy import DAY, Policy, Rule, read_policy

HOUR = 3_600_000_000
NOW = 1000 * 24 * HOUR


def days(number: float) -> int:
    """The moment so many days before now."""
    return NOW - round(number * 24 * HOUR)


def left(task: str, age: float, **more: Any) -> Left:
    return Left(task=task, ended=days(age), **({"logs": 10} | more))


def chosen(found: Plan) -> dict[str, tuple[str, ...]]:
    return {choice.task: choice.what for choice in found.choices}


def by(*rules: Rule, look: Look | None = None, of: tuple[Left, ...] = (), **more: Any) -> Plan:
    return plan(Policy(rules, **more), look or Look(left=of), NOW)


# --- policies -------------------------------------------------------------------------------------


def test_a_policy_is_read() -> None:
    policy = read_policy(
        """
        keep_tags = ["paper"]
        [[rule]]
        what = ["logs", "metrics"]
        older = "30d"
        state = "failed"
        [[rule]]
        what = "artifacts"
        project = ["digits"]
        keep_last = 10
        most = "50GiB"
        """,
        "clean.toml",
    )
    assert policy.min_age == DAY and policy.keep_tags == ("paper",)
    assert policy.rules == (
        Rule(("logs", "metrics"), older=30 * DAY, state=("failed",)),
        Rule(("artifacts",), project=("digits",), keep_last=10, most=50 * 2**30),
    )
    assert str(policy.rules[0]) == "logs, metrics of failed, older than 30d"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "nothing is to go"),
        ("[[caches]]\nolder = '1m'", "is too short"),
        ("rule = []", "nothing is to go"),
        ("[[rule]]\nwhat = ['logs']", "rule 1 has no bound"),
        ("[[rule]]\nwhat = []\nolder = '1d'", "is about nothing"),
        ("[[rule]]\nwhat = ['tasks']\nolder = '1d'", "does not say what is to go"),
        ("[[rule]]\nwhat = ['logs']\nolder = '1d'\nstate = 'lost'", "no task ends as 'lost'"),
        ("[[rule]]\nwhat = ['logs']\nolder = 'soon'", "soon"),
        ("[[rule]]\nwhat = ['logs']\noldr = '1d'", "does not say what is to go"),
        ("[[rule]", "is no TOML"),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_policy(text, "clean.toml")


# --- plans ----------------------------------------------------------------------------------------


def test_age_and_selection() -> None:
    tasks = (
        left("old", 40, project="a", state="failed"),
        left("young", 20, project="a", state="failed"),
        left("other", 40, project="b", state="failed"),
        left("fine", 40, project="a"),
        left("archived", 40, project="a", state="failed", archived=True),
    )
    rule = Rule(("logs",), older=30 * DAY, project=("a",), state=("failed",))
    assert chosen(by(rule, of=tasks)) == {"old": ("logs",), "archived": ("logs",)}
    archived = Rule(("logs",), older=30 * DAY, archived=True)
    assert chosen(by(archived, of=tasks)) == {"archived": ("logs",)}
    tagged = (*tasks, left("tagged", 40, tags=("x", "paper")))
    found = by(Rule(("logs",), older=0, tags=("x",)), of=tagged, keep_tags=("paper",))
    assert chosen(found) == {} and found.spared == {"has the tag paper": 1}


def test_nothing_goes_of_what_ended_a_short_time_ago() -> None:
    tasks = (left("new", 0.9), left("old", 1.1))
    found = by(Rule(("logs",), older=0), of=tasks)
    assert chosen(found) == {"old": ("logs",)}
    assert found.spared == {"ended a short time ago": 1}


def test_the_last_ones_are_kept_and_what_fits() -> None:
    tasks = tuple(left(f"t{age}", age, logs=100) for age in range(2, 12))
    assert set(chosen(by(Rule(("logs",), keep_last=7), of=tasks))) == {"t9", "t10", "t11"}
    assert set(chosen(by(Rule(("logs",), most=850), of=tasks))) == {"t10", "t11"}
    assert chosen(by(Rule(("logs",), most=1000), of=tasks)) == {}
    both = Rule(("logs",), keep_last=9, most=500)
    assert set(chosen(by(both, of=tasks))) == {"t11"}


def test_the_first_rule_that_says_so_counts_and_nothing_goes_twice() -> None:
    task = left("a", 40, metrics=5)
    found = by(Rule(("logs",), older=0), Rule(("logs", "metrics"), older=0), of=(task,))
    assert [(one.rule, one.what) for one in found.choices] == [(1, ("logs",)), (2, ("metrics",))]
    assert [share.bytes for share in found.shares] == [{"logs": 10}, {"metrics": 5}]
    assert (found.tasks, found.size) == (1, 15)


def test_content_is_free_when_the_last_that_names_it_lets_go() -> None:
    same, own = ("nats", "same"), ("nats", "own")
    old = left("old", 40, artifacts={same: 100, own: 7})
    older = left("older", 50, artifacts={same: 100})
    young = left("young", 2, artifacts={same: 100})
    rule = Rule(("artifacts",), older=30 * DAY)
    look = Look(left=(old, older, young), named={same: 3, own: 1})
    assert by(rule, look=look).shares[0].bytes == {"artifacts": 7}
    look = Look(left=(old, older), named={same: 2, own: 1})
    assert by(rule, look=look).shares[0].bytes == {"artifacts": 107}
    look = Look(left=(old, older), named={same: 2, own: 1}, kept={own})
    assert by(rule, look=look).shares[0].bytes == {"artifacts": 100}


def test_shared_content_counts_once_for_what_fits() -> None:
    same = ("code", "base-1")
    tasks = tuple(left(f"t{age}", age, code={same: 100}) for age in range(2, 6))
    assert chosen(by(Rule(("code",), most=100), of=tasks)) == {}


def test_notebooks_go_by_a_rule_that_names_them() -> None:
    same = ("code", "notebook-1")
    tasks = tuple(left(f"t{age}", age, notebooks={same: 100}) for age in range(2, 4))
    look = Look(left=tasks, named={same: 2})
    assert "notebooks" not in by(Rule(("logs", "code"), older=0), look=look).shares[0].bytes
    found = by(Rule(("notebooks",), older=0), look=look)
    assert chosen(found) == dict.fromkeys(("t2", "t3"), ("notebooks",))
    assert found.shares[0].bytes == {"notebooks": 100}
    found = by(Rule(("notebooks",), keep_last=1), look=look)
    assert chosen(found) == {"t3": ("notebooks",)} and found.shares[0].bytes == {"notebooks": 0}


def test_what_is_needed_stays_and_the_rest_goes() -> None:
    task = left("a", 40, artifacts={("nats", "d"): 1})
    look = Look(left=(task,), held={("a", "artifacts"): "is an input"}, live_gangs={"g"})
    found = by(Rule(("logs", "artifacts"), older=0), look=look)
    assert chosen(found) == {"a": ("logs",)} and found.spared == {"is an input": 1}
    member = left("b", 40, gang="g")
    found = by(Rule(("logs",), older=0), look=Look(left=(member,), live_gangs={"g"}))
    assert chosen(found) == {}


# --- events ---------------------------------------------------------------------------------------

SPEC = Spec(entry=Command(("train",)), name="t", queue="q", code=Code("s", ("base-1",)))


def happened(task: Task, *what: events.Lifecycle) -> Task:
    for number, event in enumerate(what, task.seq + 1):
        task = evolve(task, number, number, "ada@box", event)
    return task


def ended() -> Task:
    task = create(1, 1, "ada@box", events.Enqueued("k3f9", SPEC))
    return happened(
        task,
        events.Claimed(attempt=1, agent="a", instance="i", slot=0, hint=1, lease=10.0),
        events.ArtifactSaved(attempt=1, name="model.pt", digest="d", size=3),
        events.Phase(attempt=1, name="notebook", seconds=0.0, detail="notebook-1"),
        events.Finished(attempt=1, outcome=events.Outcome.COMPLETED, exit_code=0),
    )


def clean(*what: Any, before: int = 1000) -> Clean:
    return Clean(what=what or ALL, reason="old", before=before, telemetry=7)


def test_what_went_is_known_and_goes_once() -> None:
    task = ended()
    assert left_of(task) == ALL
    event = decide(task, clean("artifacts", "logs"))
    assert event == events.Cleaned(what=("logs", "artifacts"), reason="old", telemetry=7)
    after = happened(task, event)
    assert left_of(after) == ("metrics", "code", "notebooks") and artifacts_of(after) == {}
    with pytest.raises(NotFound, match="any more") as failed:
        find_artifact(after, "model.pt")
    assert failed.value.why == "artifacts were removed on 1970-01-01 by ada@box: old"
    with pytest.raises(Rejected, match="nothing of that is left"):
        decide(after, clean("logs"))


def test_a_task_that_has_not_ended_keeps_everything() -> None:
    task = ended()
    with pytest.raises(Rejected, match="too short a time ago"):
        decide(task, clean(before=2))
    with pytest.raises(Rejected, match="has not ended"):
        decide(happened(task, events.Requeued("again")), clean())


def test_who_left_no_notebook_has_none_to_lose() -> None:
    task = happened(
        create(1, 1, "ada@box", events.Enqueued("k3f9", SPEC)),
        events.Claimed(attempt=1, agent="a", instance="i", slot=0, hint=1, lease=10.0),
        events.Phase(attempt=1, name="notebook", seconds=0.0),
        events.Finished(attempt=1, outcome=events.Outcome.FAILED, exit_code=1),
    )
    assert left_of(task) == ("logs", "metrics", "code")
    with pytest.raises(Rejected, match="nothing of that is left"):
        decide(task, clean("notebooks"))


def test_what_a_later_attempt_leaves_is_its_own() -> None:
    task = happened(ended(), events.Cleaned(what=ALL, reason="old"), events.Requeued("again"))
    assert removal_of(task, "code") is None, "it names its code again"
    task = happened(
        task,
        events.Claimed(attempt=2, agent="a", instance="i", slot=0, hint=1, lease=10.0),
        events.ArtifactSaved(attempt=2, name="model.pt", digest="e", size=3),
        events.Phase(attempt=2, name="notebook", seconds=0.0, detail="notebook-1"),
        events.Finished(attempt=2, outcome=events.Outcome.COMPLETED, exit_code=0),
    )
    assert find_artifact(task, "model.pt") == Artifact("model.pt", "e", 3, task.seq - 2)
    assert removal_of(task, "logs", 1) and not removal_of(task, "logs", 2)
    assert removal_of(task, "notebooks", 1) and not removal_of(task, "notebooks", 2)
    assert left_of(task) == ALL
    assert isinstance(decide(task, Requeue("again")), events.Requeued)


# --- the controller's journal ---------------------------------------------------------------------


def test_a_run_begins_when_it_is_due_and_only_after_the_last_is_over() -> None:
    def noted(fact: Any, at: int) -> Noted[Any]:
        return Noted(at, at, "ada", "", fact)

    assert begin(State(), 5) is None
    state = fold(State(), noted(Defined(Policy((Rule(("logs",), older=1),)), 60.0), 10))
    assert begin(state, 10) == (Began(1, 10), "run 1 begins")
    state = fold(state, noted(Began(1, 10), 11))
    assert begin(state, 10**9) is None and state.seq == 11
    state = fold(state, noted(Carried(number=1, size=5), 12))
    assert (state.freed, state.running) == (5, None)
    assert begin(state, 59_000_000) is None and begin(state, 60_000_010)
    assert begin(fold(state, noted(Asked("now"), 20)), 20)
