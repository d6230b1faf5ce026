"""`evq pipeline`: what it prints, with a server and without, and what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from evq.core.sdk.services import service
from evq.services.pipeline.controller import Controller
from evq.services.pipeline.journals import open_run

EXAMPLE = Path(__file__).parents[2] / "examples" / "pipeline"

TWO = """
name = "two"
[defaults]
env = "none"
[steps.one]
command = ["true"]
[steps.two]
command = ["true"]
after = ["one"]
"""


@pytest.fixture
def two(evq: Any) -> Path:
    """A pipeline of two steps in the folder where the command line is."""
    path: Path = evq.cwd / "pipeline.toml"
    path.write_text(TWO)
    return path


async def test_the_example_runs_here_without_a_server(lone_evq: Any) -> None:
    shutil.copytree(EXAMPLE, lone_evq.cwd, dirs_exist_ok=True)
    done = await lone_evq("pipeline", "run", "--local")
    assert done.status == 0, done.err
    assert "rate 0.6 is best" in done.out
    assert "●  prepare  completed" in done.out and "4 completed, 1 failed" in done.out
    assert "train[4] failed: it ended with 1" in done.err
    flow = await lone_evq("pipeline", "run", "flow.py", "--local", "--set", "rates=[0.1]")
    assert flow.status == 0 and "rate 0.1 is best" in flow.out


async def test_a_plan_is_drawn_and_nothing_is_run(lone_evq: Any) -> None:
    (lone_evq.cwd / "pipeline.toml").write_text(TWO)
    done = await lone_evq("pipeline", "run", "--dry-run")
    assert (done.status, done.out) == (0, "○  one\n○  two\n")


async def test_what_is_wrong_is_said(lone_evq: Any) -> None:
    done = await lone_evq("pipeline", "run", "none.toml")
    assert done.status == 2 and "there is no file none.toml" in done.err
    (lone_evq.cwd / "pipeline.toml").write_text(TWO.replace('"one"', '"on"'))
    done = await lone_evq("pipeline", "run", "--dry-run")
    assert done.status == 2 and "did you mean one?" in done.err


async def test_a_run_from_its_begin_to_its_end(evq: Any, two: Path, jetstream_bus: Any) -> None:
    from evq.core.sdk.client import Client

    begun = await evq("pipeline", "run", "-d")
    assert (begun.status, begun.out) == (0, "two-1\n"), begun.err
    assert "no agent serves queue 'services'" in begun.err
    client = Client(jetstream_bus)
    started = await service(client, "pipeline", "two-1")
    assert started.runs

    shown = await evq("pipeline", "show", "two")
    assert shown.out == "○  one  waits\n○  two  waits\n\nrun two-1 running\n"
    refused = await evq("pipeline", "resume", "two")
    assert refused.status == 5 and "run two-1 has not ended" in refused.err
    stopped = await evq("pipeline", "stop", "two#1", "--reason", "wrong data")
    assert (stopped.status, stopped.out) == (0, "run two-1 ends\n"), stopped.err
    again = await evq("pipeline", "stop", "two")
    assert again.status == 5 and "run two-1 is stopping" in again.err

    # What an agent would run; here it runs in the test.
    await Controller(client, await open_run(client, "two-1")).run(f"{started.task.id}.1")
    listed = (await evq("pipeline", "ls", "--json")).json
    assert [(one["run"], one["state"], one["why"]) for one in listed] == [
        ("two-1", "aborted", "wrong data")
    ]
    shown = await evq("pipeline", "show", "two-1")
    assert "go on evq pipeline resume two-1" in shown.out
    nothing = await evq("pipeline", "rerun", "two", "--from", "two")
    assert nothing.status == 4 and "has no step two that ran" in nothing.err

    await client.abort(started.task.id, "the test was its controller")
    resumed = await evq("pipeline", "resume", "two", "-d")
    assert (resumed.status, resumed.out) == (0, "two-1\n"), resumed.err
    assert (await evq("pipeline", "show", "two")).out.endswith("run two-1 running\n")
    assert (await service(client, "pipeline", "two-1")).task.id != started.task.id


async def test_one_that_is_not_there(evq: Any, jetstream_bus: Any) -> None:
    done = await evq("pipeline", "show", "none")
    assert done.status == 4 and "there is no run none" in done.err
    done = await evq("pipeline", "ls")
    assert done.status == 0 and "no pipeline was run yet" in done.err
