"""Services at work for `screens.py`: a sweep, a pipeline and an autoscaler, by what they decide."""

from __future__ import annotations

import math
import random
from typing import Any

from screens_top import WORKERS

from evq.core import events, subjects, wire
from evq.core.fleet.services import QUEUE
from evq.core.ports import Entry
from evq.core.sdk.client import Client
from evq.core.sdk.journal import Journal
from evq.core.spec import Script, Spec
from evq.services.autoscaler import facts as machines
from evq.services.autoscaler.definition import Definition, Kind
from evq.services.autoscaler.journal import autoscaler_journal
from evq.services.pipeline.definition import define
from evq.services.pipeline.facts import Created, Plan, Planned, Result, Settled
from evq.services.pipeline.graph import graph
from evq.services.pipeline.journals import create
from evq.services.sweep import facts as sweeps
from evq.services.sweep.controller import open_journal
from evq.services.sweep.definition import make_definition

TRIALS = 16


async def services(opened: Client, chance: random.Random) -> str:
    """Let them decide; the address of the page that shows one of each."""
    await _agent(opened)
    await _sweep(opened, chance)
    run = await _pipeline(opened)
    await _autoscaler(opened)
    return f"/services?sweep=lr-search&run={run}"


async def _agent(opened: Client) -> None:
    """The last worker runs services."""
    up = events.AgentUp(
        agent=WORKERS[-1],
        instance="services",
        host=WORKERS[-1],
        pid=1,
        queues=(QUEUE,),
        order="strict",
        slots=50,
        version="0.1.0",
        cpus=16,
        memory=64 * 2**30,
        platform="Linux",
        python="3.11",
        services=True,
    )
    envelope = opened.author.envelope(up)
    await opened.bus.log.append(
        Entry(subjects.agent_events(up.agent), wire.encode(envelope), envelope.id)
    )


async def _tell(journal: Journal[Any, Any], fact: Any, words: str) -> None:
    await journal.decide(lambda _: (fact, words))


async def _sweep(opened: Client, chance: random.Random) -> None:
    plan = make_definition(
        {
            "run": "train.py",
            "space": {"lr": {"low": 1e-4, "high": 1.0, "log": True}, "depth": [2, 4, 8]},
            "objective": {"metric": "loss"},
            "trials": 40,
        }
    )
    journal = open_journal(opened, "lr-search")
    await journal.load()
    base = Spec(entry=Script("train.py"), name="train.py", queue="default")
    await _tell(journal, sweeps.Created(plan, base), "sweep lr-search is to begin")
    for number in range(TRIALS):
        params: dict[str, Any] = {
            "lr": 10 ** chance.uniform(-4, 0),
            "depth": chance.choice([2, 4, 8]),
        }
        words = f"trial {number}: lr={params['lr']:.4f} depth={params['depth']}"
        task = f"{number:012}"
        await _tell(journal, sweeps.Proposed(number=number, task=task, params=params), words)
        if number >= TRIALS - 4:
            continue
        loss = 0.1 + (math.log10(params["lr"]) + 2) ** 2 / 4 + 0.3 / params["depth"]
        if loss > 0.8:
            end = sweeps.TrialEnded(number=number, state="pruned")
            words = f"trial {number} is hopeless at step 20: loss {loss:.2f}"
        else:
            end = sweeps.TrialEnded(number=number, state="complete", values=(loss,))
            words = f"trial {number} is complete: loss {loss:.3f}"
        await _tell(journal, end, words)
    await _tell(journal, sweeps.Weighed({"lr": 0.82, "depth": 0.18}), "lr matters most")


async def _pipeline(opened: Client) -> str:
    steps = {
        "prepare": {"command": ["prepare.py"]},
        "train": {"command": ["train.py"], "each": [1, 2, 3, 4], "after": ["prepare"]},
        "best": {"command": ["best.py"], "after": ["train"]},
        "report": {"command": ["report.py"], "after": ["best"]},
    }
    definition = define({"name": "digits", "steps": steps}, "digits")
    journal = await create(opened, Created(definition, edges=graph(definition).parents))
    parts = [f"train[{number}]" for number in range(4)]
    plans = tuple(Plan(part, f"{number:012}") for number, part in enumerate(parts))
    await _tell(journal, Planned(plans), "train[0] … train[3] begin")
    ends = (
        Result(part="prepare", outcome="completed", task="0" * 12, reused=True),
        Result(part=parts[0], outcome="completed", task=plans[0].task),
        Result(part=parts[1], outcome="failed", task=plans[1].task, evidence="loss is nan"),
    )
    await _tell(journal, Settled(ends), "train[0] has completed, train[1] has failed")
    return journal.name


async def _autoscaler(opened: Client) -> None:
    kind = Kind(driver="hook", queues=("default",), gpus=8, most=4, cost=24.0)
    journal = autoscaler_journal(opened, "cloud")
    await journal.load()
    wished = machines.Defined(Definition({"h100": kind}, budget=100.0))
    await _tell(journal, wished, "wished are up to 4 h100")
    name = "cloud-h100-1"
    await _tell(journal, machines.Wanted(name, "h100"), f"adds {name}: 21 tasks wait in default")
    await _tell(journal, machines.Launched(name, "i-0a1"), f"{name} is launched as i-0a1")
    await _tell(
        journal,
        machines.Wanted("cloud-h100-2", "h100"),
        "adds cloud-h100-2: 13 tasks wait in default; 2 of 4 h100, 48.00 of 100 an hour",
    )
