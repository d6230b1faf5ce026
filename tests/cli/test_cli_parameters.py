"""Scripts as people write them, run by a real agent: one value at first, another in a clone.

None of them knows of evq; each prints what its own parser made of the command line.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uv

from evq.core.handle import find

ARGPARSE = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--learning-rate", type=float)
parser.add_argument("--layers", type=int, nargs="+")
parser.add_argument("--amp", action=argparse.BooleanOptionalAction, default=True)
parser.add_argument("-n", type=int)
given = parser.parse_args()
print(given.learning_rate, given.layers, given.amp, given.n)
"""

CLICK = """
# /// script
# requires-python = ">=3.11"
# dependencies = ["click>=8"]
# ///
import click

@click.command()
@click.option("--lr", type=float)
@click.option("--amp/--no-amp", default=False)
@click.option("--tag", multiple=True)
@click.argument("data")
def train(lr, amp, tag, data):
    print(lr, amp, tag, data)

train()
"""

TYPER = """
# /// script
# requires-python = ">=3.11"
# dependencies = ["typer"]
# ///
import typer

def train(data: str, lr: float = 0.0, epochs: int = 1, amp: bool = False):
    print(data, lr, epochs, amp)

typer.run(train)
"""

FIRE = """
# /// script
# requires-python = ">=3.11"
# dependencies = ["fire"]
# ///
import fire

def train(lr=0.0, name="x", layers=()):
    print(lr, name, layers)

fire.Fire(train)
"""

HYDRA = """
# /// script
# requires-python = ">=3.11"
# dependencies = ["hydra-core"]
# ///
import hydra
from omegaconf import OmegaConf

@hydra.main(version_base=None, config_path="conf", config_name="config")
def train(config):
    print(OmegaConf.to_container(config))

train()
"""

NATIVE = """
import evq
print(evq.params, evq.params["learning-rate"], type(evq.params["note"]).__name__)
"""

READS = {
    "argparse": (
        ARGPARSE,
        "--learning-rate 0.1 --layers 1 2 --amp -n 3",
        ["--set", "learning_rate=1", "--set", "layers=4 5 6", "--set", "n=4"],
        "0.1 [1, 2] True 3",
        "1.0 [4, 5, 6] True 4",
    ),
    "negation": (ARGPARSE, "--no-amp", ["--set", "amp=true"], "None None False None",
                 "None None True None"),
    "click": (
        CLICK,
        "--lr=0.1 --amp --tag a --tag b -- data.csv",
        ["--set", "lr=0.2", "--set", "amp=false", "--set", "tag=c"],
        "0.1 True ('a', 'b') data.csv",
        "0.2 False ('c',) data.csv",
    ),
    "typer": (
        TYPER,
        "data.csv --lr 0.1 --epochs 3",
        ["--set", "lr=0.2", "--set", "epochs=5", "--add", "amp=true"],
        "data.csv 0.1 3 False",
        "data.csv 0.2 5 True",
    ),
    "fire": (
        FIRE,
        "--lr=0.1 --name=a --layers=[1,2]",
        ["--set", "lr=1", "--set", "name=b", "--set", "layers=[3,4,5]"],
        "0.1 a [1, 2]",
        "1.0 b [3, 4, 5]",
    ),
    "hydra": (
        HYDRA,
        "lr=0.1 +model.depth=3 ~seed",
        ["--set", "lr=0.2", "--set", "model.depth=4", "--add", "model.name=big"],
        "{'lr': 0.1, 'model': {'name': 'small', 'depth': 3}}",
        "{'lr': 0.2, 'model': {'name': 'big', 'depth': 4}}",
    ),
    "native": (
        NATIVE,
        "--learning-rate 0.1",
        ["--set", "learning-rate=0.2", "--setenv", "X=1"],
        "{'learning_rate': 0.1, 'note': 'a'} 0.1 str",
        "{'learning_rate': 0.2, 'note': 'a'} 0.2 str",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Caches that the tests share, and a package index that answers."""
    variables = {
        "UV_CACHE_DIR": str(tmp_path_factory.mktemp("uv")),
        "UV_PYTHON_DOWNLOADS": "never",
        "EVQ_CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
    }
    asked = subprocess.run(
        [uv.find_uv_bin(), "pip", "compile", "-"],
        input="six",
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )
    if asked.returncode != 0:
        pytest.skip(f"no package index can be reached: {asked.stderr.strip().splitlines()[-1]}")
    return variables


@pytest.fixture
async def served(evq: Any, shared: dict[str, str], tmp_path: Path) -> AsyncIterator[Any]:
    """The command line, beside an agent that serves its queue."""
    evq.env |= shared | {"EVQ_STATE_DIR": str(tmp_path / "state")}
    async with evq.start("agent", "--grace", "1s") as agent:
        yield evq
        agent.terminate()
        await agent.wait()


@pytest.mark.parametrize("kind", READS)
async def test_another_value_without_another_script(served: Any, kind: str) -> None:
    script, words, changes, first, second = READS[kind]
    (served.cwd / "train.py").write_text(script)
    (served.cwd / "conf").mkdir()
    config = "lr: 0.0\nseed: 1\nmodel:\n  name: small\n"
    (served.cwd / "conf" / "config.yaml").write_text(config)
    own = ["--set", "note=a"] if kind == "native" else []
    include = ["--include", "conf", *own, "train.py", "--", *words.split()]
    ran = await served("run", *include)
    assert (ran.status, ran.out) == (0, f"{first}\n"), ran.err
    cloned = await served("clone", "@", *changes)
    assert cloned.status == 0, cloned.err
    assert len(re.findall(r"→", cloned.err)) == len(changes) // 2
    waited = await served("wait")
    assert waited.status == 0, waited.err
    assert (await served("logs")).out == f"{second}\n"


async def test_in_the_place_where_it_failed(served: Any) -> None:
    (served.cwd / "train.py").write_text(
        "import os, sys\nopen('out.txt', 'w').write('here\\n')\n"
        "print(os.environ['MODE'], os.getcwd())\nsys.exit('it broke')\n"
    )
    ran = await served("run", "--setenv", "MODE=a", "--env", "uv", "train.py")
    assert ran.status == 1
    mode, folder = ran.out.split()
    shell = await served("shell", "-c", "echo $MODE; cat out.txt; pwd; command -v python; exit 7")
    assert shell.status == 7, shell.err
    *said, python = shell.out.split()
    assert said == [mode, "here", folder]
    assert python.startswith(served.env["EVQ_CACHE_DIR"])

    page = (await served("show")).out
    assert "its command ended with an exit status of its own: exit status 1" in page
    assert "it broke" in page.partition("last lines")[2]
    assert f"evq shell {page.split()[1]}" in page


async def test_nothing_is_kept_of_what_completed_or_is_not_to_be(served: Any) -> None:
    await served("run", "--no-code", "--", "true")
    ended = await served("shell", "-c", "true")
    assert (ended.status, ended.out) == (4, "")
    assert "folders are kept of what failed" in ended.err
    assert (await served("run", "--no-code", "--keep", "0", "--", "false")).status == 1
    assert (await served("shell", "-c", "true")).status == 4
    assert (await served("run", "--no-code", "--", "sh", "-c", "echo x > y; exit 3")).status == 3
    assert (await served("shell", "-c", "cat y")).out == "x\n"


async def test_beside_a_task_that_runs(served: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    command = f"echo $$ > mine; cat {gate}"
    await served("enqueue", "--no-code", "--setenv", "A=1", "--", "sh", "-c", command)
    with gate.open("w"):  # it opens when the task reads
        shell = await served("shell", "-c", "cat mine; echo $A $EVQ_ATTEMPT")
    assert shell.status == 0, shell.err
    assert shell.out.split()[1:] == ["1", "1"]
    assert (await served("wait")).status == 0


async def test_again_here_and_nobody_is_told(served: Any, bus: Any) -> None:
    script = "import sys; print('hello', sys.argv[1:]); sys.exit(3)\n"
    (served.cwd / "train.py").write_text(script)
    assert (await served("run", "train.py", "--", "--lr", "1")).status == 3
    before = (await bus.log.last_seq(), await bus.telemetry.last_seq())
    again = await served("repro")
    assert (again.status, again.out) == (3, "hello ['--lr', '1']\n"), again.err
    built = await served("build", "--json")
    assert built.status == 0, built.err
    assert (Path(built.json["path"]) / "bin" / "python").exists()
    assert (await served("build")).out == f"{built.json['path']}\n"
    assert (await bus.log.last_seq(), await bus.telemetry.last_seq()) == before
    refused = await served("build", "--docker", "x:1")
    assert refused.err.startswith("error[E34]: no image can be made of a task that runs in none")


async def test_again_here_with_its_inputs(served: Any, bus: Any) -> None:
    script = "import evq; open('a', 'w').write('weights'); evq.save('a')\n"
    (served.cwd / "train.py").write_text(script)
    assert (await served("run", "train.py")).status == 0
    script = "import evq; print(open('a').read()); open('b', 'w').write('b'); evq.save('b')\n"
    (served.cwd / "eval.py").write_text(script)
    assert (await served("run", "--input", "@:a", "eval.py")).status == 0
    before = (await bus.log.last_seq(), [lying async for lying in bus.depot.all()])
    again = await served("repro")
    assert (again.status, again.out) == (0, "weights\n"), again.err
    assert (await bus.log.last_seq(), [lying async for lying in bus.depot.all()]) == before


async def test_here_and_now(served: Any) -> None:
    await served("enqueue", "-q", "nobody", "--no-code", "--quiet", "--", "sh", "-c", "echo one")
    ran = await served("exec")
    assert (ran.status, ran.out) == (0, "one\n"), ran.err
    shown = (await served("show", "--json")).json
    assert (shown["state"], len(shown["attempts"])) == ("completed", 1)
    again = await served("exec")
    assert (again.status, again.out) == (0, "one\n"), again.err
    clone = re.search(r"task (\w+) is the same again", again.err)
    assert clone
    other = (await served("show", clone[1], "--json")).json
    assert (other["state"], other["parent"]) == ("completed", shown["task"])


async def test_given_back_by_an_interrupt(served: Any, bus: Any) -> None:
    command = ("sh", "-c", "echo ready; exec sleep 600")
    queued = await served("enqueue", "-q", "nobody", "--no-code", "--quiet", "--", *command)
    async with served.start("exec") as process:
        assert await process.stdout.readline() == b"ready\n"
        assert (await served("exec")).status == 5
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert process.returncode == 130, err
    task = await find(bus.log, queued.out.strip())
    assert (task.name_of_state, task.losses) == ("queued", 0)


async def test_taken_over_when_it_is_killed(served: Any, bus: Any, tmp_path: Path) -> None:
    once = f"mkdir {tmp_path}/x 2>/dev/null && echo ready && exec sleep 600; echo second"
    words = ("enqueue", "-q", "later", "--no-code", "--quiet", "--", "sh", "-c", once)
    queued = (await served(*words)).out.strip()
    async with served.start("exec", env={"EVQ_LEASE": "1s"}) as process:
        assert await process.stdout.readline() == b"ready\n"
        process.kill()
    async with served.start("agent", "--queues", "later", "--lease", "1s") as agent:
        waited = await served("wait", queued)
        assert (waited.status, (await served("logs", queued)).out) == (0, "second\n")
        agent.terminate()
        await agent.wait()
    task = await find(bus.log, queued)
    assert [attempt.agent.endswith("-exec") for attempt in task.attempts] == [True, False]


async def test_what_differs(served: Any) -> None:
    served.repository()
    await served("run", "train.py", "--setenv", "A=1", "--", "--lr", "0.1")
    (served.cwd / "train.py").write_text("print('three')\nraise SystemExit(2)\n")
    await served("run", "-r", "six", "train.py", "--", "--lr", "0.2")
    page = (await served("diff", "@~1")).out
    for line in (
        "  lr  0.1 → 0.2",
        "  train.py | 3 ++-",
        "  six  – → 1.",
        "  A  1 → –",
        "  state      completed → failed",
    ):
        assert line in page, page
    told = (await served("diff", "@~1", "@", "--json", "--patch")).json
    assert {"part": "parameter", "name": "lr", "old": 0.1, "new": 0.2} in told["changes"]
    assert told["files"] == [{"path": "train.py", "added": 2, "removed": 1}]
    assert "+print('three')" in told["patch"]
    same = (await served("diff", "@", "@")).out
    assert same.splitlines()[-1] == (
        "the same: parameters, code, packages, variables, options, machine, outcome, metrics"
    )
