"""`evq get`: artifacts in the hands of whoever asks for them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from evq.core.artifacts import Input
from evq.core.decide import SaveArtifact
from evq.core.handle import find
from evq.core.sdk import artifacts, carrying


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
async def save(played: Any, jetstream_bus: Any, tmp_path: Path) -> Any:
    """`await save(task, name, path)` keeps a file or a folder as the running attempt does."""

    async def save(task: str, name: str, path: Path) -> None:
        content = path
        if path.is_dir():
            content = tmp_path / "archive"
            with content.open("wb") as archive:
                carrying.pack(str(path), archive)
        with content.open("rb") as file:
            digest, size = await artifacts.store(jetstream_bus.depot, file, 2**20)
        holder = played.holder
        await played.does(task, SaveArtifact(holder, name, digest, size, path.is_dir(), "nats"))

    return save


@pytest.fixture
async def task(evq: Any, played: Any, save: Any, tmp_path: Path) -> str:
    """A task that has saved a file and a folder, and has ended."""
    evq.repository()
    await played.appear("default")
    name: str = (await evq("enqueue", "train.py", "--json")).json["task"]
    await played.claims(name)
    await played.starts(name)
    (tmp_path / "weights").write_bytes(b"weights")
    await save(name, "best/model.pt", tmp_path / "weights")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("a")
    await save(name, "out", tmp_path / "out")
    await played.ends(name)
    return name


async def test_all_that_a_task_saved(evq: Any, task: str) -> None:
    told = await evq("get")
    assert told.out.splitlines() == [f"{task}/best/model.pt", f"{task}/out"]
    here = evq.cwd / task
    assert (here / "best" / "model.pt").read_bytes() == b"weights"
    assert (here / "out" / "a").read_text() == "a"
    assert sorted(file.name for file in here.iterdir()) == ["best", "out"]


async def test_one_by_its_name(evq: Any, task: str) -> None:
    (facts,) = (await evq("get", task, "best/model.pt", "--to", ".", "--json")).json
    assert facts["path"] == "best/model.pt"
    assert (facts["digest"], facts["size"]) == (digest_of(b"weights"), 7)
    assert not (evq.cwd / task).exists()


async def test_what_there_is(evq: Any, task: str) -> None:
    lines = (await evq("get", "--list")).out.splitlines()
    assert [line.split()[0] for line in lines] == ["ARTIFACT", "best/model.pt", "out/"]
    assert lines[1].split()[1:3] == ["7B", digest_of(b"weights")[:12]]
    assert not (evq.cwd / task).exists()
    listed = (await evq("get", "--list", "--json")).json
    (attempt,) = (await evq("show", "--json")).json["attempts"]
    assert listed == attempt["artifacts"]
    assert "best/model.pt" in (await evq("show")).out
    assert f"saved best/model.pt: 7B, {digest_of(b'weights')[:12]}" in (await evq("events")).out


async def test_what_there_is_not(evq: Any, task: str) -> None:
    told = await evq("get", task, "model.pt")
    assert told.status == 4
    assert f"task {task} has no artifact model.pt" in told.err
    assert "it has best/model.pt, out" in told.err
    told = await evq("get", task, "--attempt", "2")
    assert told.status == 4 and "has no artifacts" in told.err


async def test_a_file_of_ours_is_not_in_danger(evq: Any, task: str) -> None:
    (evq.cwd / task / "out").mkdir(parents=True)
    (evq.cwd / task / "out" / "mine").write_text("mine")
    told = await evq("get", task, "out")
    assert told.status == 1 and "E35" in told.err and "in the way" in told.err
    assert (evq.cwd / task / "out" / "mine").read_text() == "mine"


async def test_an_input_is_named_by_its_task(evq: Any, task: str, jetstream_bus: Any) -> None:
    words = ["--input", "@:out", "--input", f"{task}:best/model.pt:in/m.pt", "train.py"]
    name = (await evq("enqueue", *words, "--json")).json["task"]
    spec = (await find(jetstream_bus.log, name)).spec
    assert spec.inputs == (Input(task, "out"), Input(task, "best/model.pt", "in/m.pt"))
    told = (await evq("show", name)).out
    assert f"out of {task}, best/model.pt of {task} at in/m.pt" in told


@pytest.mark.parametrize("word", ["model.pt", "@:", ":model.pt", "@:../up", "@:a:/etc/passwd"])
async def test_what_is_no_input(lone_evq: Any, word: str) -> None:
    lone_evq.repository()
    told = await lone_evq("enqueue", "--input", word, "train.py")
    assert told.status == 2 and told.err.startswith("error[E01]:")
