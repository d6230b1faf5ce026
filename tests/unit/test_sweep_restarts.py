"""A sweep that is killed at any moment and goes on elsewhere proposes what it would have."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evq.core.events import Metric
from evq.core.journal import Noted
from evq.core.outcomes import Outcome
from evq.core.spec import Script, Spec
from evq.core.state import Ended
from evq.services.sweep.curve import Curve
from evq.services.sweep.decide import Decision, end_of, finish, judgement, next_trial
from evq.services.sweep.definition import Definition, make_definition
from evq.services.sweep.facts import Created, Fact, Judged, Proposed
from evq.services.sweep.pruner import Pruner
from evq.services.sweep.state import SweepState, evolve
from evq.services.sweep.study import propose

STEPS = 9

SPACE: dict[str, Any] = {
    "lr": {"low": 1e-4, "high": 1.0, "log": True},
    "width": {"low": 1, "high": 64},
    "kind": {"choices": ["adam", "sgd"]},
    "momentum": {"low": 0.0, "high": 0.9, "when": {"kind": "sgd"}},
}
NUMBERS = {name: SPACE[name] for name in ("lr", "width")}
COUNTABLE: dict[str, Any] = {
    "width": {"low": 1, "high": 9, "step": 4},
    "kind": {"choices": ["adam", "sgd"]},
    "momentum": {"low": 0.0, "high": 0.6, "step": 0.3, "when": {"kind": "sgd"}},
}
LOSS = {"metric": "loss"}


def definition(sampler: str = "tpe", **more: Any) -> Definition:
    space = {"cma-es": NUMBERS, "grid": COUNTABLE}.get(sampler, SPACE)
    table = {"run": "train.py", "space": space, "objective": LOSS, "trials": 24}
    return make_definition(table | {"sampler": sampler, "seed": 5} | more)


def loss(params: dict[str, Any], step: int) -> float:
    """A curve that falls to a level which the parameters decide."""
    level = abs(math.log10(params.get("lr", 0.01)) + 2) + abs(params["width"] - 20) / 40
    level += 0.3 * (params.get("kind") == "sgd") + params.get("momentum", 0.0) / 5
    return round(level + 2.0 / (step + 1), 6)


class World:
    """A controller without I/O: trials run side by side, in an order that chance decides."""

    def __init__(self, plan: Definition, seed: int, kill: float = 0.0) -> None:
        self.facts: list[Noted[Fact]] = []
        self.sweep = SweepState(name="tested")
        self._chance = random.Random(seed)
        self._kill = kill
        self._pruner = Pruner()
        self._curves: dict[int, Curve] = {}
        self._steps: dict[int, int] = {}
        self.kills = 0
        spec = Spec(entry=Script("train.py"), name="train", queue="default")
        self._write((Created(plan, spec), "created"))

    def _write(self, decision: Decision) -> Noted[Fact]:
        fact, words = decision
        told = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(fact)))
        noted = Noted(len(self.facts) + 1, 0, "test", words, msgspec.convert(told, Fact))
        self.facts.append(noted)
        self.sweep = evolve(self.sweep, noted)
        if self._chance.random() < self._kill:
            self.restart()
        return noted

    def restart(self) -> None:
        """All is lost but the journal; tasks go on, and are heard from their beginning."""
        self.kills += 1
        self.sweep = folded(self.facts)
        self._pruner = Pruner()
        begun, self._steps = self._steps, {trial.number: 0 for trial in self.sweep.open}
        self._curves = {number: Curve(self.sweep.plan) for number in self._steps}
        for number in self._steps:
            for _ in range(begun.get(number, 0)):
                self._hear(number)

    def run(self) -> SweepState:
        while not self.sweep.finished:
            while decision := next_trial(self.sweep, 0):
                noted = self._write(decision)
                assert isinstance(noted.fact, Proposed)
                self._steps.setdefault(noted.fact.number, 0)
                self._curves.setdefault(noted.fact.number, Curve(self.sweep.plan))
            if self.sweep.open:
                self._step(self._chance.choice(self.sweep.open).number)
            elif decision := finish(self.sweep, 0):
                self._write(decision)
        return self.sweep

    def _step(self, number: int) -> None:
        trial = self.sweep.trials[number]
        if self._steps[number] < STEPS and not trial.hopeless:
            self._hear(number)
            return
        outcome = Outcome.ABORTED if trial.hopeless else Outcome.COMPLETED
        state = Ended(0, outcome, 1, None, "", 0)
        self._write(end_of(self.sweep, number, state, self._curves[number]))

    def _hear(self, number: int) -> None:
        step = self._steps[number]
        self._steps[number] = step + 1
        value = loss(self.sweep.trials[number].params, step)
        record = Metric(attempt=1, claim=1, at=(0,), name=("loss",), step=(step,), value=(value,))
        curve = self._curves[number]
        for point in curve.read(record):
            if decision := judgement(self.sweep, number, point, curve.points, self._pruner):
                self._write(decision)


def folded(facts: list[Noted[Fact]]) -> SweepState:
    sweep = SweepState(name="tested")
    for noted in facts:
        sweep = evolve(sweep, noted)
    return sweep


def story(sweep: SweepState) -> list[Any]:
    return [(one.number, one.params, one.end, one.values, one.points) for one in sweep.trials]


def proposals(facts: list[Noted[Fact]]) -> Iterator[tuple[SweepState, Proposed]]:
    """Each proposal in a journal, and the sweep as it was before."""
    for place, noted in enumerate(facts):
        if isinstance(noted.fact, Proposed):
            yield folded(facts[:place]), noted.fact


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid", "cma-es"])
def test_a_proposal_depends_on_the_journal_alone(sampler: str) -> None:
    world = World(definition(sampler, prune="median"), seed=1)
    world.run()
    found = list(proposals(world.facts))
    assert len(found) == (12 if sampler == "grid" else 24)
    for sweep, proposed in found:
        assert propose(sweep) == proposed


@pytest.mark.parametrize("prune", ["median", "asha", {"kind": "hyperband", "most": 9}, None])
@pytest.mark.parametrize("sampler", ["tpe", "random", "cma-es"])
def test_timing_and_kills_have_no_say_in_a_reproducible_sweep(sampler: str, prune: Any) -> None:
    more = {"prune": prune} if prune else {}
    plan = definition(sampler, reproducible=True, **more)
    undisturbed = World(plan, seed=0).run()
    kills = 0
    for seed in range(1, 4):
        world = World(plan, seed, kill=0.05)
        assert story(world.run()) == story(undisturbed)
        kills += world.kills
    assert kills > 3
    assert any(trial.end == "pruned" for trial in undisturbed.trials) == (prune is not None)


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 10_000), kill=st.floats(0, 0.3), concurrency=st.integers(1, 6))
def test_no_number_is_lost_or_repeated(seed: int, kill: float, concurrency: int) -> None:
    plan = definition("random", prune="median", concurrency=concurrency)
    world = World(plan, seed, kill)
    sweep = world.run()
    assert [trial.number for trial in sweep.trials] == list(range(24))
    numbers = [noted.fact.number for noted in world.facts if isinstance(noted.fact, Proposed)]
    assert numbers == list(range(24))
    # What is random depends on a number alone: these are the same trials, whatever happened.
    same = World(plan, seed=0).run()
    assert [one.params for one in sweep.trials] == [one.params for one in same.trials]


def test_a_hopeless_trial_stays_so() -> None:
    world = World(definition("random", prune="median"), seed=3, kill=0.2)
    sweep = world.run()
    given_up = [one.fact for one in world.facts if isinstance(one.fact, Judged)]
    assert given_up
    for judged in given_up:
        trial = sweep.trials[judged.number]
        assert trial.end == "pruned"
        assert trial.points[-1] == (judged.step, judged.value)
    assert len({judged.number for judged in given_up}) == len(given_up)
