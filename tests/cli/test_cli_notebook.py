"""`evq notebook`: a notebook with its outputs in the hands of whoever asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evq.core.decide import Clean, EndPhase
from evq.core.notebooks import PHASE

NAME = "notebook-1"


@pytest.fixture
async def waiting(evq: Any, played: Any) -> str:
    """A notebook's task that nobody has run."""
    evq.repository()
    (evq.cwd / "train.ipynb").write_text('{"cells": [], "nbformat": 4, "nbformat_minor": 5}')
    await played.appear("default")
    name: str = (await evq("enqueue", "train.ipynb", "--json")).json["task"]
    return name


@pytest.fixture
async def task(waiting: str, played: Any, jetstream_bus: Any, tmp_path: Path) -> str:
    """One that ran, and keeps its outputs."""
    await played.claims(waiting)
    await played.starts(waiting)
    (tmp_path / "done.ipynb").write_text("outputs")
    await jetstream_bus.objects.put(NAME, tmp_path / "done.ipynb")
    await played.does(waiting, EndPhase(played.holder, PHASE, 0.0, None, NAME))
    await played.ends(waiting)
    return waiting


async def test_it_is_written_beside_its_original(evq: Any, task: str) -> None:
    assert (await evq("notebook")).out == "train.out.ipynb\n"
    assert (evq.cwd / "train.out.ipynb").read_text() == "outputs"
    await evq("notebook", task, "-o", "mine.ipynb")
    assert (evq.cwd / "mine.ipynb").read_text() == "outputs"


async def test_before_it_ran_there_is_none(evq: Any, waiting: str) -> None:
    told = await evq("notebook", waiting)
    assert told.status == 4 and f"there is no notebook of task {waiting} yet" in told.err


async def test_one_that_was_removed_is_spoken_of(evq: Any, task: str, played: Any) -> None:
    await played.does(task, Clean(what=("notebooks",), reason="it is old", before=2**60))
    told = await evq("notebook", task)
    assert told.status == 4 and f"task {task} has no notebook any more" in told.err
    assert "notebooks were removed on" in told.err and "it is old" in told.err
    assert f"evq retry {task} runs it again" in told.err
    assert "notebooks removed on" in (await evq("show", task)).out
