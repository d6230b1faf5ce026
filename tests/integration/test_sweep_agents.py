"""Sweeps with real agents: pruned at once, retried, stopped, resumed, extended."""

from __future__ import annotations

from collections import Counter
from contextlib import aclosing
from typing import Any

import pytest

from evq.core.fleet.services import QUEUE
from evq.core.outcomes import Outcome
from evq.core.sdk.services import services
from evq.core.spec import Inline, Spec
from evq.services.sweep.definition import make_definition
from evq.services.sweep.facts import Proposed
from evq.services.sweep.state import SweepState, task_of
from evq.services.sweep.sweep import Sweep

TRAIN = """
import os, signal, sys, evq
width = evq.params["width"]
if width == 5 and os.environ["EVQ_ATTEMPT"] == "1":
    sys.exit(3)
for step in range(3):
    evq.log({"loss": width + 1 / (step + 1), "size": -width}, step=step)
if width == 6:
    sys.exit(4)
if width > 6:
    signal.pause()
"""
"""The wider, the worse. 5 fails once, 6 always; those above never end by themselves."""


@pytest.fixture
async def made(apart: Any, start_agent: Any, own_nats_server: Any) -> Any:
    """`await made(widths, …)` is a sweep over these widths, in their order, that two agents run."""
    login = own_nats_server.login
    start_agent([apart], "--slots", "4", "--grace", "5", login=login).ready()
    start_agent([type(apart)(apart.client, QUEUE)], "--services", "--allow-client", login=login)

    async def begin(name: str, widths: list[int], **more: Any) -> Sweep:
        table = {"run": "train", "space": {"width": widths}, "objective": {"metric": "loss"}}
        plan = make_definition(table | {"sampler": "grid", "concurrency": 1} | more)
        base = Spec(entry=Inline(TRAIN), name="train", queue=apart.name, manager="agent")
        return await Sweep.create(apart.client, name, plan, base)

    return begin


async def whole(sweep: Sweep) -> SweepState:
    async with aclosing(sweep.follow()) as facts:
        async for _ in facts:
            pass
    return sweep.state


async def test_hopeless_trials_are_aborted_and_failed_ones_retried(made: Any, apart: Any) -> None:
    sweep = await made("s", [1, 2, 5, 6, 7, 8], retries=1, prune={"kind": "median", "startup": 3})
    state = await whole(sweep)
    ends = {trial.params["width"]: trial.end for trial in state.trials}
    assert ends == {
        1: "complete", 2: "complete", 5: "complete", 6: "pruned", 7: "pruned", 8: "pruned",
    }  # fmt: skip
    assert state.best[0].params == {"width": 1}
    assert state.best[0].values == (pytest.approx(1 + 1 / 3),)
    last = await apart.client.get(task_of("s", 5))
    assert last.name_of_state == "aborted" and last.abort
    assert last.abort.reason.startswith("trial 5 is hopeless: loss 9 at step 0, and its best")
    again = await apart.client.get(task_of("s", 2))
    assert [attempt.end.exit_code for attempt in again.attempts] == [3, 0]
    (controller,) = await services(apart.client, "sweep")
    assert last.spec.parent == controller.task.id
    said = [record.at[-1] for record in await apart.records(last.id) if hasattr(record, "step")]
    print(f"\nfrom a hopeless point to the trial's end: {(last.state.at - said[0]) / 1e6:.2f} s")


async def test_failed_trials_do_not_count_if_one_says_so(made: Any) -> None:
    state = await whole(await made("s", [6, 1, 6.5, 2], failed="ignore", trials=1))
    assert Counter(trial.end for trial in state.trials) == {"failed": 1, "complete": 1}
    assert "failed: it failed" in state.trials[0].words


async def test_several_objectives(made: Any) -> None:
    goals = [{"metric": "loss"}, {"metric": "size"}]
    state = await whole(await made("s", [1, 2, 3], objective=goals))
    assert [trial.number for trial in state.best] == [0, 1, 2]
    assert state.best[2].values == (pytest.approx(3 + 1 / 3), -3.0)


async def test_stop_resume_extend(made: Any, apart: Any) -> None:
    """7 never ends by itself."""
    sweep = await made("s", [1, 7, 2, 3], trials=2, keep=1)
    async with aclosing(sweep.follow()) as facts:
        async for noted in facts:
            if isinstance(noted.fact, Proposed) and noted.fact.number == 1:
                break
    await sweep.stop("for a look")
    state = await whole(sweep)
    assert [trial.end for trial in state.trials] == ["complete", "stopped"]
    assert state.finished.startswith("stopped: for a look; the best is trial 0")
    aborted = await apart.client.get(task_of("s", 1))
    assert "the sweep was stopped: for a look" in str(aborted.abort or aborted.state)
    await sweep.resume()
    state = await whole(sweep)
    assert [trial.end for trial in state.trials] == ["complete", "stopped", "complete"]
    await sweep.extend(trials=1)
    state = await whole(sweep)
    assert [trial.params["width"] for trial in state.trials] == [1, 7, 2, 3]
    assert state.runs == 3
    other = await Sweep.open(apart.client, "s")
    assert other.state == state
    (controller,) = await services(apart.client, "sweep")
    ended = await type(apart)(apart.client, QUEUE).ended(controller.task.id)
    assert ended.state.outcome is Outcome.COMPLETED
    tags = [(await apart.client.get(task_of("s", number))).tags for number in range(4)]
    assert tags == [("sweep:s", "best"), *[("sweep:s", "expendable")] * 3]
