"""Agents with stale views, lost answers, late messages and crashes, against one simulated log.

`Witness` knows nothing of `evolve`: it reads the events one by one and says what must never
stand in a log. `test_state_machine.py` sends Hypothesis through all this.
"""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from evq.core import decide, events, evolve
from evq.core.decide import Holder, Rejected
from evq.core.events import Cause, Launch, Outcome
from evq.core.ports import WrongSequence
from evq.core.spec import Command, Spec
from evq.core.state import Queued, Task

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
        self.hint = 1
        self.former: tuple[bool, int, int, bool] | None = None
        self.archived = False

    def see(self, record: Record) -> None:
        self._must(record.expect == self.last, "every event follows the one that it expected")
        self.last = record.seq
        event = record.event
        match event:
            case events.Claimed():
                self._claimed(record, event)
            case events.Requeued():
                self._must(self.ended, "only what has ended is requeued")
                self.former = (self.abort, self.failures, self.losses, self.archived)
                self.ended, self.abort, self.failures, self.losses = False, False, 0, 0
                self.archived = False
                self.hint = record.seq + 1
            case events.Moved():
                self._must(not self.ended and self.live is None, "only what waits is moved")
                self.hint = record.seq + 1
            case events.Dequeued():
                self._must(not self.ended and self.live is None, "only what waits is dequeued")
                self.ended = True
                if self.former:
                    self.abort, self.failures, self.losses, self.archived = self.former
                self.former = None
            case events.Tagged():
                pass  # at any time, by anyone
            case events.Archived():
                self._must(self.ended and not self.archived, "only what has ended is archived")
                self.archived = True
            case events.Unarchived():
                self._must(self.archived, "only what is archived comes back")
                self.archived = False
            case events.Aborted():
                self._must(not self.ended and self.live is None, "only what waits ends at once")
                self.ended, self.former = True, None
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
        self._must(event.hint >= self.hint, "no claim follows from a stale hint")
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
                self.live = self.former = None
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
        self.live = self.former = None
        self.ended = True
        if self.abort:
            ends = (Outcome.ABORTED, Outcome.COMPLETED)
            self._must(event.outcome in ends, "an abort leads to its end")
        elif event.outcome in (Outcome.FAILED, Outcome.TIMED_OUT):
            budget_left = self.failures < self.spec.retries
            if event.cause in (Cause.LOST_AGENT, Cause.INFRASTRUCTURE):
                budget_left = self.losses < self.spec.losses
            self._must(not budget_left, "no budget is wasted")

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
        self.first: Task = evolve.create(1, 0, CLIENT, events.Enqueued("t", spec))
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
        return evolve.fold(self.first, history)

    def _view(self, who: str, fate: str) -> Task:
        """What somebody believes: the truth if they looked just now."""
        if not fate.startswith("stale"):
            self.views[who] = self._folded()
        return self.views[who]

    def _try(self, who: str, command: decide.Command, fate: str) -> None:
        """Decide on the view one has, and append; the answer may be lost or the message late."""
        view = self._view(who, fate)
        try:
            event = decide.decide(view, command)
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
            self.views[who] = evolve.evolve(view, seq, 0, message[2], event)
            if isinstance(event, events.Claimed):
                self.claims[who] = event.attempt

    agents = st.sampled_from(AGENTS)
    fates = st.sampled_from((*["fresh"] * 5, "stale", "stale", "lost answer", "late"))

    @rule(agent=agents, fate=fates, stale=st.sampled_from((False, False, True)))
    def claim(self, agent: str, fate: str, stale: bool = False) -> None:
        """By the hint that leads to where it stands, or by the one that it was enqueued with."""
        view = self._view(agent, fate)
        waited = view.state.failure if isinstance(view.state, Queued) else 0
        hint = view.origin if stale else view.place.hint
        self._try(agent, decide.Claim(agent, self._instance(agent), 0, hint, 10.0, waited), fate)

    def _holder(self, agent: str) -> tuple[str, Holder]:
        """The agent, or else another that believes to hold the task."""
        who = agent if agent in self.claims else min(self.claims)
        return who, Holder(self._instance(who), self.claims[who])

    @precondition(lambda self: self.claims)
    @rule(agent=agents, fate=fates, what=st.sampled_from(("begin", "start", "give back")))
    def go_on(self, agent: str, fate: str, what: str) -> None:
        who, holder = self._holder(agent)
        command: dict[str, decide.Command] = {
            "begin": decide.BeginPhase(holder, "code"),
            "start": decide.Start(holder, Launch(0, 1, ("true",), "h", "/")),
            "give back": decide.GiveBack(holder, "drain"),
        }
        self._try(who, command[what], fate)

    @precondition(lambda self: self.claims)
    @rule(
        agent=agents,
        fate=fates,
        outcome=st.sampled_from((*[Outcome.FAILED] * 3, *Outcome)),
        cause=st.sampled_from((None, Cause.CODE, Cause.CODE, Cause.INFRASTRUCTURE)),
    )
    def finish(self, agent: str, fate: str, outcome: Outcome, cause: Cause | None) -> None:
        who, holder = self._holder(agent)
        self._try(who, decide.Finish(holder, outcome, 1, cause), fate)

    @rule(agent=agents, cause=st.sampled_from((Cause.CODE, Cause.INFRASTRUCTURE)))
    def fail(self, agent: str, cause: Cause) -> None:
        """A whole attempt, which nothing disturbs; by chance alone budgets are seldom spent."""
        self.claim(agent, "fresh")
        if agent in self.claims:
            self.finish(agent, "fresh", Outcome.FAILED, cause)

    @rule(agent=agents, fate=fates)
    def take_for_lost(self, agent: str, fate: str) -> None:
        """The lease of whoever holds it ran out, or so this agent believes."""
        live = self._view(agent, fate).live
        if live:
            self._try(agent, decide.DeclareLost(live.number, "silent"), fate)

    @rule(fate=fates)
    def abort(self, fate: str) -> None:
        self._try(CLIENT, decide.Abort("enough"), fate)

    @rule(fate=fates)
    def requeue(self, fate: str) -> None:
        self._try(CLIENT, decide.Requeue("again"), fate)

    @rule(fate=fates, rank=st.sampled_from((None, 0.5)))
    def move(self, fate: str, rank: float | None) -> None:
        self._try(CLIENT, decide.Move("other", 7, rank, "urgent"), fate)

    @rule(fate=fates)
    def dequeue(self, fate: str) -> None:
        self._try(CLIENT, decide.Dequeue("not now"), fate)

    @rule(fate=fates, tag=st.sampled_from("ab"), add=st.booleans())
    def tag(self, fate: str, tag: str, add: bool) -> None:
        self._try(CLIENT, decide.Tag((tag,), ()) if add else decide.Tag((), (tag,)), fate)

    @rule(fate=fates)
    def archive(self, fate: str) -> None:
        self._try(CLIENT, decide.Archive("done with"), fate)

    @rule(fate=fates)
    def unarchive(self, fate: str) -> None:
        self._try(CLIENT, decide.Unarchive("not yet"), fate)

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
        assert (task.archived is not None) == witness.archived

    def teardown(self) -> None:
        """Every attempt is lost from now on, and every task claimed: even so it comes to rest."""
        if not self.trusts_the_fold or not hasattr(self, "log"):
            return
        for _ in range(2 * self.first.spec.losses + 2):
            self.claim("b", "fresh")
            self.take_for_lost("a", "fresh")
            self.the_log_is_sound()
        assert self.witness.ended
