"""What a sweep decides, its trials' tasks, and the study that it becomes."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from msgspec.structs import replace

from evq.core.errors import Conflict, UsageError
from evq.core.events import Cause, Metric
from evq.core.journal import Noted
from evq.core.outcomes import Outcome
from evq.core.spec import Command, Script, Spec
from evq.core.state import Ended
from evq.services.sweep import curve as curves
from evq.services.sweep.curve import Curve
from evq.services.sweep.decide import counts, end_of, ending, finish, judgement, next_trial
from evq.services.sweep.definition import (
    Definition,
    make_definition,
)
from evq.services.sweep.facts import (
    Created,
    Extended,
    Fact,
    Judged,
    Proposed,
    Resumed,
    Stopped,
    TrialEnded,
)
from evq.services.sweep.pruner import Pruner
from evq.services.sweep.state import SweepState, evolve, task_of
from evq.services.sweep.study import check_able, export, weigh
from evq.services.sweep.trial import spec_of

SPACE = {"lr": {"low": 1e-4, "high": 1.0, "log": True}, "width": {"low": 1, "high": 9}}
BASE = Spec(entry=Script("train.py", ("--lr", "0.1")), name="train", queue="gpu", tags=("mine",))


def definition(**more: Any) -> Definition:
    table = {"run": "train.py", "space": SPACE, "objective": {"metric": "loss"}, "trials": 10}
    return make_definition(table | more)


class Told:
    """A sweep, one fact after another."""

    def __init__(self, plan: Definition, base: Spec = BASE) -> None:
        self.state = SweepState(name="told")
        self.tell(Created(plan, base))

    def tell(self, fact: Fact, at: int = 0) -> SweepState:
        noted = Noted(1, at, "test", f"{type(fact).__name__}", fact)
        self.state = evolve(self.state, noted)
        return self.state

    def trial(self, *values: float, end: str = "complete", **params: Any) -> int:
        number = len(self.state.trials)
        chosen = {"lr": 0.1, "width": 1 + number % 9} | params
        self.tell(Proposed(number=number, task="t", params=chosen))
        self.tell(TrialEnded(number=number, state=end, values=values))  # type: ignore[arg-type]
        return number


# --- limits ---------------------------------------------------------------------------------------


def test_a_grid_ends_when_it_is_done() -> None:
    told = Told(definition(sampler="grid", space={"lr": [0.1, 0.2]}, trials=None, concurrency=9))
    for number in range(2):
        decision = next_trial(told.state, 0)
        assert decision
        told.tell(decision[0])
        told.tell(TrialEnded(number=number, state="complete", values=(1.0,)))
    assert next_trial(told.state, 0) is None
    assert ending(told.state, 0) == "all 2 points of the grid are done"


def test_no_more_run_at_once_than_may() -> None:
    told = Told(definition(concurrency=2))
    for _ in range(2):
        told.tell(next_trial(told.state, 0)[0])  # type: ignore[index]
    assert next_trial(told.state, 0) is None
    told.tell(TrialEnded(number=1, state="complete", values=(1.0,)))
    assert next_trial(told.state, 0)


def test_a_reproducible_sweep_waits_for_the_oldest() -> None:
    told = Told(definition(concurrency=2, reproducible=True))
    for _ in range(2):
        told.tell(next_trial(told.state, 0)[0])  # type: ignore[index]
    told.tell(TrialEnded(number=1, state="complete", values=(1.0,)))
    assert next_trial(told.state, 0) is None
    told.tell(TrialEnded(number=0, state="complete", values=(1.0,)))
    assert next_trial(told.state, 0)


def test_time_ends_the_proposing() -> None:
    told = Told(definition(timeout=60))
    assert next_trial(told.state, 59_000_000)
    assert next_trial(told.state, 60_000_000) is None
    told.tell(Extended(seconds=30))
    assert next_trial(told.state, 60_000_000)


def test_failed_trials_count_or_are_ignored() -> None:
    counted, ignored = Told(definition(trials=2)), Told(definition(trials=2, failed="ignore"))
    for told in (counted, ignored):
        for _ in range(2):
            told.trial(end="failed")
    assert next_trial(counted.state, 0) is None
    assert next_trial(ignored.state, 0)
    for _ in range(18):
        ignored.trial(end="failed")
    assert ending(ignored.state, 0) == "20 trials failed, and no more than 20 may"


def test_stop_and_resume() -> None:
    told = Told(definition(trials=3))
    told.trial(1.0)
    told.tell(Stopped("enough"))
    assert next_trial(told.state, 0) is None
    told.trial(end="stopped")
    decision = finish(told.state, 0)
    assert decision
    assert decision[1].startswith("stopped: enough; the best is trial 0: loss 1")
    told.tell(decision[0])
    assert told.state.finished and told.state.runs == 1
    told.tell(Resumed(""))
    assert not told.state.finished
    assert not counts(told.state, told.state.trials[1])
    assert next_trial(told.state, 0)


def test_the_best_few_are_kept() -> None:
    told = Told(definition(trials=4, keep=2))
    for value in (3.0, 1.0, 2.0, 4.0):
        told.trial(value)
    decision = finish(told.state, 0)
    assert decision
    told.tell(decision[0])
    assert told.state.kept == (1, 2)


def test_of_several_goals_none_may_be_beaten() -> None:
    goals = [{"metric": "loss"}, {"metric": "acc", "goal": "maximize"}]
    told = Told(definition(objective=goals))
    for values in ((1.0, 0.5), (2.0, 0.9), (2.0, 0.4), (0.5, 0.1)):
        told.trial(*values)
    assert [trial.number for trial in told.state.best] == [0, 1, 3]


# --- what a trial tells ---------------------------------------------------------------------------


def said(curve: Curve, *points: tuple[int | None, Any], name: str = "loss") -> list[Any]:
    steps, values = zip(*points, strict=True)
    many = len(points)
    record = Metric(
        attempt=1, claim=1, at=(0,) * many, name=(name,) * many, step=steps, value=values
    )
    return list(curve.read(record))


def test_the_value_is_the_last_or_an_extreme() -> None:
    for which, value in (("last", 2.0), ("min", 1.0), ("max", 3.0)):
        curve = Curve(definition(objective={"metric": "loss", "value": which}))
        said(curve, (0, 3.0), (1, 1.0), (2, 2.0))
        assert curve.values() == (value,)


def test_steps_only_go_up_and_are_counted_if_there_are_none() -> None:
    curve = Curve(definition())
    assert said(curve, (0, 3.0), (1, 2.0), (1, 9.0), (0, 9.0), (2, 1.0)) == [
        (0, 3.0), (1, 2.0), (2, 1.0),
    ]  # fmt: skip
    assert said(Curve(definition()), (None, 3.0), (None, 2.0)) == [(0, 3.0), (1, 2.0)]
    assert said(curve, (7, 5.0), name="other") == []


def test_a_long_curve_is_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "MOST_POINTS", 10)
    curve = Curve(definition())
    said(curve, *((step, 1.0) for step in range(100)))
    steps = [step for step, _ in curve.points]
    assert len(steps) <= 10 and steps[0] == 0
    assert all(step % (steps[1] - steps[0]) == 0 for step in steps)


def test_how_trials_end() -> None:
    told = Told(definition())
    done = Ended(0, Outcome.COMPLETED, 1, None, "", 0)
    broken = Ended(0, Outcome.FAILED, 1, Cause.CODE, "exit status 1", 1)
    told.tell(next_trial(told.state, 0)[0])  # type: ignore[index]
    curve = Curve(told.state.plan)
    assert end_of(told.state, 0, done, curve)[1] == "trial 0 failed: it reported no loss"
    said(curve, (0, 0.5))
    fact, words = end_of(told.state, 0, done, curve)
    assert (fact.values, words) == (  # type: ignore[union-attr]
        (0.5,), "trial 0 is complete: loss 0.5, the best so far",
    )  # fmt: skip
    assert end_of(told.state, 0, broken, curve)[1] == "trial 0 failed: it failed, exit status 1"
    said(curve, (1, "nan"))
    assert end_of(told.state, 0, done, curve)[1] == "trial 0 failed: its loss is nan"


def test_a_point_that_is_no_number_is_hopeless() -> None:
    told = Told(definition(prune="median"))
    told.tell(next_trial(told.state, 0)[0])  # type: ignore[index]
    decision = judgement(told.state, 0, (3, float("nan")), (), Pruner())
    assert decision
    assert decision[1] == "trial 0 is hopeless: loss is nan at step 3"
    assert isinstance(decision[0], Judged) and decision[0].hopeless


# --- the trial's task -----------------------------------------------------------------------------


def test_a_trial_is_the_task_with_its_parameters() -> None:
    told = Told(definition())
    told.tell(Proposed(number=0, task="t", params={"lr": 0.25, "width": 3, "amp": True}))
    spec = spec_of(told.state, told.state.trials[0], "parent")
    assert spec.entry == Script("train.py", ("--lr", "0.25"))
    assert spec.params == {"width": "3", "amp": "true"}
    assert spec.tags == ("mine", "sweep:told")
    assert (spec.key, spec.parent, spec.queue) == ("sweep-told-0", "parent", "gpu")
    assert spec.name == "told 0: lr=0.25 width=3 amp=true"


def test_a_key_of_hydra_is_rewritten_in_its_place() -> None:
    base = replace(BASE, entry=Command(("python", "train.py", "lr=0.1")))
    told = Told(definition(space={"lr": SPACE["lr"]}), base)
    told.tell(Proposed(number=0, task="t", params={"lr": 0.25}))
    spec = spec_of(told.state, told.state.trials[0], None)
    assert spec.entry == Command(("python", "train.py", "lr=0.25"))


# --- what it is to Optuna -------------------------------------------------------------------------


def test_without_optuna_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    check_able(definition(sampler="cma-es", prune="asha"))
    for package in ("cmaes", "optuna"):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(UsageError, match="sweeps need Optuna") as refused:
            check_able(definition(sampler="cma-es"))
        assert refused.value.fix == "pip install 'evq[sweep]'"


def grown() -> SweepState:
    told = Told(definition(space=SPACE | {"kind": ["a", "b"]}))
    for number in range(10):
        told.trial(float(number), lr=0.001 * 2**number, kind="ab"[number % 2])
    told.trial(end="failed", kind="a")
    told.tell(Proposed(number=11, task="t", params={"lr": 0.5, "width": 2, "kind": "a"}))
    told.tell(Judged(number=11, step=3, value=9.0, hopeless=True))
    pruned = TrialEnded(number=11, state="pruned", points=((2, 8.0), (3, 9.0)))
    return told.tell(pruned)


def test_what_matters_is_weighed() -> None:
    importances = weigh(grown())
    assert set(importances) == {"lr", "width", "kind"}
    assert max(importances, key=lambda name: importances[name]) in ("lr", "width")
    assert sum(importances.values()) == pytest.approx(1.0, abs=0.01)


def test_an_export_is_a_study(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    assert export(grown(), url) == 12
    study = optuna.load_study(study_name="told", storage=url)
    assert (study.best_trial.number, study.best_value) == (0, 0.0)
    assert study.best_params == {"lr": 0.001, "width": 1, "kind": "a"}
    assert [trial.state.name for trial in study.trials[-2:]] == ["FAIL", "PRUNED"]
    assert study.trials[11].intermediate_values == {2: 8.0, 3: 9.0}
    assert study.trials[11].user_attrs == {"evq_task": task_of("told", 11)}
    with pytest.raises(Conflict, match="holds a study told already"):
        export(grown(), url)


def test_optuna_dashboard_shows_an_export(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    export(grown(), url)
    serve = f"""
import optuna, wsgiref.simple_server as simple
from optuna_dashboard import wsgi
app = wsgi(optuna.storages.RDBStorage({url!r}))
server = simple.make_server("127.0.0.1", 0, app)
print(server.server_port, flush=True)
server.serve_forever()
"""
    with subprocess.Popen(
        [sys.executable, "-c", serve], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout
            where = f"http://127.0.0.1:{process.stdout.readline().strip()}/api/studies"
            with closing(urllib.request.urlopen(where)) as answer:
                (study,) = json.load(answer)["study_summaries"]
            assert study["study_name"] == "told"
            with closing(urllib.request.urlopen(f"{where}/{study['study_id']}")) as answer:
                trials = json.load(answer)["trials"]
            assert [trial["number"] for trial in trials] == list(range(12))
        finally:
            process.kill()
