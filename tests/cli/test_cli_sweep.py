"""`evq sweep`: what is printed, what is written into the journal, and what is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from evq.core.bus.connect import Bus
from evq.core.sdk.client import Client
from evq.core.sdk.services import service
from evq.core.spec import Script
from evq.services.sweep.controller import load_journal
from evq.services.sweep.facts import Fact, Finished, Proposed, TrialEnded
from evq.services.sweep.state import SweepState, task_of

FILE = """
name = "first"
run = "train.py -q gpu -- --lr 0.1 --epochs 3"
trials = 6
seed = 1
objective = { metric = "loss" }
space = { lr = { low = 0.001, high = 1.0, log = true }, width = [8, 16] }
"""


@pytest.fixture
def file(evq: Any) -> str:
    (evq.cwd / "train.py").write_text("print('trained')\n")
    (evq.cwd / "sweep.toml").write_text(FILE)
    return "sweep.toml"


async def tell(bus: Bus, *facts: Fact) -> SweepState:
    """Write these facts into the journal of `first`."""
    journal = await load_journal(Client(bus), "first")
    for fact in facts:
        await journal.decide(lambda _, fact=fact: (fact, "played"))  # type: ignore[misc]
    return journal.state


async def trials(bus: Bus) -> SweepState:
    """Two complete trials, the second of which is the better, and one that runs."""
    facts: list[Fact] = []
    for number, value in enumerate((0.5, 0.25)):
        facts.append(
            Proposed(number=number, task="t", params={"lr": 0.01 * (number + 1), "width": 8})
        )
        facts.append(TrialEnded(number=number, state="complete", values=(value,)))
    facts.append(Proposed(number=2, task="t", params={"lr": 0.5, "width": 16}))
    return await tell(bus, *facts)


async def test_a_sweep_begins(evq: Any, bus: Bus, file: str) -> None:
    result = await evq("sweep", "run", file, "-d")
    assert (result.status, result.out) == (0, "first\n"), result.err
    state = (await load_journal(Client(bus), "first")).state
    assert state.base and state.base.entry == Script("train.py", ("--lr", "0.1", "--epochs", "3"))
    assert state.base.queue == "gpu" and state.base.code
    task = (await service(Client(bus), "sweep", "first")).task
    assert (task.name_of_state, task.spec.queue, task.spec.client) == ("queued", "services", True)
    again = await evq("sweep", "run", file, "-d")
    assert again.status == 5 and "there is a sweep first already" in again.err


async def test_what_would_be_tried(evq: Any, file: str) -> None:
    result = await evq("sweep", "run", file, "--dry-run")
    lines = result.out.splitlines()
    assert len(lines) == 5 and lines[0].startswith("trial 0: lr=")
    assert "evq run --set lr=" in result.err and "train.py -q gpu -- --lr 0.1" in result.err
    assert (await evq("sweep", "ls")).out == ""


async def test_it_is_looked_at(evq: Any, bus: Bus, file: str) -> None:
    await evq("sweep", "run", file, "-d")
    await trials(bus)
    shown = await evq("sweep", "show", "first")
    assert "runs: 3 of 6 trials, 2 complete, 1 running" in shown.out
    assert [line.split()[0] for line in shown.out.splitlines()[2:]] == ["1", "0", "2"]
    (listed,) = (await evq("sweep", "ls", "--json")).json
    assert (listed["sweep"], listed["state"], listed["best"]) == ("first", "runs", [1, 0])
    assert [one["state"] for one in listed["trials"]] == ["complete", "complete", "running"]
    assert (await evq("sweep", "ls")).out.splitlines()[1].split()[:3] == ["first", "runs", "2/6"]


async def test_the_best_can_be_run_again(evq: Any, bus: Bus, file: str) -> None:
    await evq("sweep", "run", file, "-d")
    assert (await evq("sweep", "best", "first")).status == 1
    await trials(bus)
    best = await evq("sweep", "best", "first")
    assert best.out.startswith("best trial 1: loss 0.25\n  lr=0.02 width=8\n")
    assert f"evq clone {task_of('first', 1)}" in best.out
    command = (await evq("sweep", "best", "first", "--command")).out.strip()
    wanted = "evq run --set lr=0.02 --set width=8 train.py -q gpu -- --lr 0.1 --epochs 3"
    assert command == wanted
    words = [*command.split()[2:]]
    task = (await evq("enqueue", "--quiet", *words)).out.strip()
    spec = (await Client(bus).get(task)).spec
    assert spec.entry == Script("train.py", ("--lr", "0.02", "--epochs", "3"))
    assert spec.params == {"width": "8"}


async def test_a_task_can_be_swept(evq: Any, bus: Bus, file: str) -> None:
    task = (await evq("enqueue", "--quiet", "train.py", "--", "--lr", "0.3")).out.strip()
    (evq.cwd / "clone.toml").write_text(FILE.replace("run =", f'clone = "{task}"\n#'))
    assert (await evq("sweep", "run", "clone.toml", "-d")).status == 0
    state = await trials(bus)
    assert state.base and state.base.code == (await Client(bus).get(task)).spec.code
    command = (await evq("sweep", "best", "first", "--command")).out
    assert command == f"evq clone {task} --set lr=0.02 --set width=8\n"


async def test_stop_resume_extend(evq: Any, bus: Bus, file: str) -> None:
    await evq("sweep", "run", file, "-d")
    refused = await evq("sweep", "resume", "first")
    assert refused.status == 5 and "is not stopped" in refused.err
    stopped = await evq("sweep", "stop", "first", "--reason", "enough")
    assert "undo evq sweep resume first" in stopped.out
    assert (await tell(bus)).stop.reason == "enough"  # type: ignore[union-attr]
    assert (await evq("sweep", "resume", "first")).status == 0
    assert (await tell(bus)).stop is None
    await tell(bus, Finished())
    extended = await evq("sweep", "extend", "first", "--trials", "4")
    assert extended.out.startswith("sweep first  runs: 0 of 10 trials")
    refused = await evq("sweep", "extend", "first", "--time", "1h")
    assert refused.status == 2 and "no limit of time" in refused.err


async def test_export(evq: Any, bus: Bus, file: str) -> None:
    await evq("sweep", "run", file, "-d")
    await trials(bus)
    result = await evq("sweep", "export", "first", "study.db")
    assert result.out == "3 trials of first are in sqlite:///study.db\n"
    assert (evq.cwd / "study.db").stat().st_size > 0


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("nonsense", "is no TOML"),
        (FILE.replace("run =", "walk ="), "unknown field `walk`"),
        (FILE.replace('run = "train.py', 'run = "absent.py'), "there is no file absent.py"),
        (FILE.replace("-q gpu", "--wrong"), "evq has no option --wrong"),
        (FILE.replace("-q gpu", "--priority high"), "makes no task"),
        (FILE.replace("run =", "#"), "a sweep needs one task"),
        (FILE.replace('"first"', '"a b"'), "cannot be the name of a sweep"),
        (FILE.replace('name = "first"', ""), "the sweep has no name"),
    ],
)
async def test_a_wrong_file_is_refused(evq: Any, file: str, text: str, what: str) -> None:
    (evq.cwd / "sweep.toml").write_text(text)
    result = await evq("sweep", "run", file, "-d")
    assert result.status == 2 and what in result.err
    assert "fix:" in result.err


async def test_no_such_file_and_no_such_sweep(evq: Any, file: str) -> None:
    assert "absent.toml cannot be read" in (await evq("sweep", "run", "absent.toml")).err
    result = await evq("sweep", "show", "absent")
    assert result.status == 4 and "there is no sweep absent" in result.err
    assert msgspec.json.decode((await evq("sweep", "ls", "--json")).out) == []
