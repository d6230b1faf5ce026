"""Agents with stale views, lost answers, late messages and crashes, against one simulated log.

`Witness` knows nothing of `evolve`: it reads the events one by one and says what must never
stand in a log. The last part breaks the heart on purpose and asks whether the witness notices.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import hypothesis
import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from evq.core import decide as commands
from evq.core import events
from evq.core.decide import Holder, Rejected
from evq.core.events import Cause, Outcome
from evq.core.ports import WrongSequence
from evq.core.spec import Command, Spec
from evq.core.state import Task

# `from evq.core import decide` in a test is the module; its functions are looked up at each call,
# so that a mutant of one is used everywhere.
decisions = importlib.import_module("evq.core.decide")
folding = importlib.import_module("evq.core.evolve")

CLIENT = "a client"
AGENTS = ("a", "b")


class Record(msgspec.Struct, frozen=True):
    """A stored event, and who really wrote it: the instance of an agent, or a client."""

    seq: int
    id: str
    expect: int
    writer: str
    event: events.Lifecycle


class Log:
    """One task's subject as the server keeps it: ids once, expectations held."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.holds_expectations = True

    def append(self, id: str, expect: int, writer: str, event: events.Lifecycle) -> int:
        for record in self.records:
            if record.id == id:
                return record.seq
        last = self.records[-1].seq if self.records else 0
        if self.holds_expectations and expect != last:
            raise WrongSequence
        self.records.append(Record(last + 2, id, expect, writer, event))
        return last + 2


class Violation(AssertionError):
    """The log holds what must never be there."""


class Witness:
    """What one may say of a task by looking at its events alone."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.last = 0
        self.attempts = 0
        self.live: tuple[int, str] | None = None
        self.started = False
        self.ended = False
        self.abort = False
        self.failures = 0
        self.losses = 0

    def see(self, record: Record) -> None:
        self._must(record.expect == self.last, "every event follows the one that it expected")
        self.last = record.seq
        event = record.event
        match event:
            case events.Claimed():
                self._claimed(record, event)
            case events.Requeued():
                self._must(self.ended, "only what has ended is requeued")
                self.ended, self.abort, self.failures, self.losses = False, False, 0, 0
            case events.Aborted():
                self._must(not self.ended and self.live is None, "only what waits ends at once")
                self.ended = True
            case events.AbortRequested():
                self._must(self.live is not None and not self.abort, "one wish, of what runs")
                self.abort = True
            case events.Enqueued():
                self._must(False, "a task is enqueued once")
            case _:
                self._of_attempt(record, event)

    def _claimed(self, record: Record, event: events.Claimed) -> None:
        self._must(not self.ended, "what has ended is not claimed")
        self._must(self.live is None, "at most one attempt is live")
        self._must(event.attempt == self.attempts + 1, "attempts are numbered without gaps")
        self._must(event.instance == record.writer, "nobody claims for another")
        self.attempts = event.attempt
        self.live = (event.attempt, event.instance)
        self.started = False

    def _of_attempt(self, record: Record, event: Any) -> None:
        self._must(not self.ended, "the end is the end")
        if self.live is None:
            raise Violation("nobody speaks when nothing is live")
        number, instance = self.live
        self._must(event.attempt == number, "only the live attempt is spoken of")
        if not self._may_be_said_by_anyone(event):
            self._must(record.writer == instance, "only the holder speaks")
        match event:
            case events.Started():
                self._must(not self.started, "an attempt starts once")
                self.started = True
            case events.Finished():
                self._finished(event)
            case events.Retry():
                self.live = None
                self.failures += 1
                self._must(not self.abort, "what is to be aborted does not run again")
                self._must(self.failures <= self.spec.retries, "retries are counted")
            case events.Lost(cause=cause):
                self.live = None
                self.losses += cause is not Cause.DRAINED
                self._must(not self.abort, "what is to be aborted does not run again")
                self._must(self.losses <= self.spec.losses, "losses are counted")

    def _may_be_said_by_anyone(self, event: Any) -> bool:
        match event:
            case events.Lost(cause=cause):
                return cause is Cause.LOST_AGENT
            case events.Finished(cause=Cause.LOST_AGENT):
                return self.losses == self.spec.losses
            case events.Finished(cause=Cause.ABORT):
                return self.abort
            case _:
                return False

    def _finished(self, event: events.Finished) -> None:
        self.live = None
        self.ended = True
        if self.abort:
            ends = (Outcome.ABORTED, Outcome.COMPLETED)
            self._must(event.outcome in ends, "an abort leads to its end")
        elif event.outcome in (Outcome.FAILED, Outcome.TIMED_OUT):
            budget_left = self.failures < self.spec.retries
            by_others = event.cause is Cause.LOST_AGENT
            self._must(by_others or not budget_left, "no budget is wasted")

    def _must(self, holds: bool, rule: str) -> None:
        if not holds:
            raise Violation(rule)


class Cluster(RuleBasedStateMachine):
    """One task, two agents and a client."""

    holds_expectations = True
    trusts_the_fold = True

    @initialize(retries=st.integers(0, 2), losses=st.integers(0, 2))
    def enqueue(self, retries: int, losses: int) -> None:
        spec = Spec(entry=Command(("true",)), name="t", queue="q", retries=retries, losses=losses)
        self.first: Task = folding.create(1, 0, CLIENT, events.Enqueued("t", spec))
        self.log = Log()
        self.log.holds_expectations = self.holds_expectations
        self.witness = Witness(spec)
        self.witnessed = 0
        self.count = 0
        self.lives = dict.fromkeys(AGENTS, 0)
        self.views = dict.fromkeys((*AGENTS, CLIENT), self.first)
        self.claims: dict[str, int] = {}
        self.on_the_way: list[tuple[str, int, str, events.Lifecycle]] = []

    # --- what happens -------------------------------------------------------------------------

    def _instance(self, agent: str) -> str:
        return f"{agent}{self.lives[agent]}" if agent in self.lives else agent

    def _folded(self) -> Task:
        history = [(record.seq, 0, record.writer, record.event) for record in self.log.records]
        return folding.fold(self.first, history)

    def _view(self, who: str, fate: str) -> Task:
        """What somebody believes: the truth if they looked just now."""
        if not fate.startswith("stale"):
            self.views[who] = self._folded()
        return self.views[who]

    def _try(self, who: str, command: commands.Command, fate: str) -> None:
        """Decide on the view one has, and append; the answer may be lost or the message late."""
        view = self._view(who, fate)
        try:
            event = decisions.decide(view, command)
        except Rejected:
            return
        self.count += 1
        message = (f"id{self.count}", view.seq, self._instance(who), event)
        if fate in ("late", "lost answer"):
            self.on_the_way.append(message)
        if fate == "late":
            return
        try:
            seq = self.log.append(*message)
        except WrongSequence:
            self.views[who] = self._folded()
            return
        if fate != "lost answer":
            self.views[who] = folding.evolve(view, seq, 0, message[2], event)
            if isinstance(event, events.Claimed):
                self.claims[who] = event.attempt

    agents = st.sampled_from(AGENTS)
    fates = st.sampled_from((*["fresh"] * 5, "stale", "stale", "lost answer", "late"))

    @rule(agent=agents, fate=fates)
    def claim(self, agent: str, fate: str) -> None:
        self._try(agent, commands.Claim(agent, self._instance(agent), 0, 1, 10.0), fate)

    def _holder(self, agent: str) -> tuple[str, Holder]:
        """The agent, or else another that believes to hold the task."""
        who = agent if agent in self.claims else min(self.claims)
        return who, Holder(self._instance(who), self.claims[who])

    @precondition(lambda self: self.claims)
    @rule(agent=agents, fate=fates, what=st.sampled_from(("begin", "start", "give back")))
    def go_on(self, agent: str, fate: str, what: str) -> None:
        who, holder = self._holder(agent)
        command: dict[str, commands.Command] = {
            "begin": commands.BeginPhase(holder, "code"),
            "start": commands.Start(holder, 1, ("true",), "h", "/"),
            "give back": commands.GiveBack(holder, "drain"),
        }
        self._try(who, command[what], fate)

    @precondition(lambda self: self.claims)
    @rule(
        agent=agents,
        fate=fates,
        outcome=st.sampled_from(Outcome),
        cause=st.sampled_from((None, Cause.CODE, Cause.INFRASTRUCTURE)),
    )
    def finish(self, agent: str, fate: str, outcome: Outcome, cause: Cause | None) -> None:
        who, holder = self._holder(agent)
        self._try(who, commands.Finish(holder, outcome, 1, cause), fate)

    @rule(agent=agents, fate=fates)
    def take_for_lost(self, agent: str, fate: str) -> None:
        """The lease of whoever holds it ran out, or so this agent believes."""
        live = self._view(agent, fate).live
        if live:
            self._try(agent, commands.DeclareLost(live.number, "silent"), fate)

    @rule(fate=fates)
    def abort(self, fate: str) -> None:
        self._try(CLIENT, commands.Abort("enough"), fate)

    @rule(fate=fates)
    def requeue(self, fate: str) -> None:
        self._try(CLIENT, commands.Requeue("again"), fate)

    @precondition(lambda self: self.on_the_way)
    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        """A message arrives late, or once more because its answer was lost."""
        message = data.draw(st.sampled_from(self.on_the_way))
        try:
            self.log.append(*message)
        except WrongSequence:
            self.on_the_way.remove(message)

    @rule(agent=agents)
    def crash(self, agent: str) -> None:
        """It forgets all and comes back under another instance. Its messages stay on the way."""
        self.lives[agent] += 1
        self.claims.pop(agent, None)
        self.views[agent] = self.first

    # --- what must hold -----------------------------------------------------------------------

    @invariant()
    def the_log_is_sound(self) -> None:
        for record in self.log.records[self.witnessed :]:
            self.witness.see(record)
        self.witnessed = len(self.log.records)
        if self.trusts_the_fold:
            self._the_fold_agrees()

    def _the_fold_agrees(self) -> None:
        task, witness = self._folded(), self.witness
        assert (task.live and (task.live.number, task.live.instance)) == witness.live
        assert (task.live is not None and task.live.launch is not None) == bool(
            witness.live and witness.started
        )
        assert (task.abort is not None) == witness.abort
        assert (task.failures, task.losses) == (witness.failures, witness.losses)
        assert len(task.attempts) == witness.attempts
        assert (task.name_of_state in set(Outcome)) == witness.ended

    def teardown(self) -> None:
        """Every attempt is lost from now on, and every task claimed: even so it comes to rest."""
        if not self.trusts_the_fold or not hasattr(self, "log"):
            return
        for _ in range(2 * self.first.spec.losses + 2):
            self.claim("b", "fresh")
            self.take_for_lost("a", "fresh")
            self.the_log_is_sound()
        assert self.witness.ended


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


def claim_over(task: Task, command: commands.Claim) -> events.Lifecycle:
    return events.Claimed(
        attempt=len(task.attempts) + 1,
        agent=command.agent,
        instance=command.instance,
        slot=0,
        hint=1,
        lease=1.0,
    )


def same_number_again(task: Task, command: commands.Claim) -> events.Lifecycle:
    event = commands_claim(task, command)
    return msgspec.structs.replace(event, attempt=max(1, len(task.past)))


commands_claim: Callable[[Task, commands.Claim], Any] = decisions._claim
commands_finish: Callable[[Task, commands.Finish], Any] = decisions._finish
evolve_lost: Callable[..., Task] = folding._lost
evolve_retry: Callable[..., Task] = folding._retry


def abort_forgotten(task: Task, command: commands.GiveBack) -> events.Lifecycle:
    number = decisions._held(task, command.holder).number
    return events.Lost(attempt=number, cause=Cause.DRAINED, why=command.why)


def abort_retried(task: Task, command: commands.Finish) -> events.Lifecycle:
    return commands_finish(msgspec.structs.replace(task, abort=None), command)


def losses_for_nothing(task: Task, *args: Any) -> Task:
    return msgspec.structs.replace(evolve_lost(task, *args), losses=task.losses)


def retries_for_nothing(task: Task, *args: Any) -> Task:
    return msgspec.structs.replace(evolve_retry(task, *args), failures=task.failures)


def start_twice(task: Task, command: commands.Start) -> events.Lifecycle:
    number = decisions._held(task, command.holder).number
    return events.Started(attempt=number, pid=1, argv=(), host="h", folder="/")


def requeue_anything(task: Task, reason: str) -> events.Lifecycle:
    return events.Requeued(reason)


def abort_anything(task: Task, reason: str) -> events.Lifecycle:
    return events.Aborted(reason)


def lost_by_any_number(task: Task, command: commands.DeclareLost) -> events.Lifecycle:
    return events.Lost(attempt=command.attempt, cause=Cause.LOST_AGENT, why="w")


MUTANTS = [
    (decisions, "_held", anybody_speaks),
    (decisions, "_claim", claim_over),
    (decisions, "_claim", same_number_again),
    (decisions, "_give_back", abort_forgotten),
    (decisions, "_finish", abort_retried),
    (decisions, "_start", start_twice),
    (decisions, "_requeue", requeue_anything),
    (decisions, "_abort", abort_anything),
    (decisions, "_declare_lost", lost_by_any_number),
    (folding, "_lost", losses_for_nothing),
    (folding, "_retry", retries_for_nothing),
]

HUNT = hypothesis.settings(
    SETTINGS,
    max_examples=2000,
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
