"""`evq clone`: the same task once more, with changes."""

from __future__ import annotations

from typing import Any

import pytest

from evq.core.bus.connect import Bus
from evq.core.handle import find
from evq.core.spec import Command, Module, Repo, Script


async def test_a_clone_differs_in_what_was_given(evq: Any, bus: Bus) -> None:
    evq.repository()
    words = ("--set", "lr=1", "--set", "seed=0", "--key", "k", "--retries", "2", "--quiet")
    source = (await evq("enqueue", "train.py", *words)).out.strip()
    words = ("--set", "lr=2", "-q", "gpu", "--setenv", "A=1", "--timeout", "1h", "--json")
    result = await evq("clone", "@", *words)
    assert result.status == 0, result.err
    spec = (await find(bus.log, result.json["task"])).spec
    old = (await find(bus.log, source)).spec
    assert spec.params == {"lr": "2", "seed": "0"}
    assert spec.name == "train.py lr=2 seed=0"
    assert (spec.queue, spec.variables, spec.timeout) == ("gpu", {"A": "1"}, 3600.0)
    assert (spec.code, spec.entry, spec.retries) == (old.code, old.entry, 2)
    assert (spec.parent, spec.key) == (source, None)


async def test_set_rewrites_what_is_there_and_adds_what_is_not(evq: Any, bus: Bus) -> None:
    evq.repository()
    words = ("--set", "lr=0.2", "--set", "MODE=b", "--set", "note=x", "--setenv", "MODE=a")
    result = await evq("enqueue", "train.py", *words, "--json", "--", "--lr", "0.1", "--n", "3")
    spec = (await find(bus.log, result.json["task"])).spec
    assert spec.entry == Script("train.py", ("--lr", "0.2", "--n", "3"))
    assert (spec.variables, spec.params) == ({"MODE": "b"}, {"note": "x"})
    assert {one["name"]: one["value"] for one in result.json["parameters"]} == {
        "lr": 0.2,
        "n": 3,
        "note": "x",
        "MODE": "b",
    }
    refused = await evq("enqueue", "train.py", "--set", "n=few", "--", "--n", "3")
    assert (refused.status, refused.out) == (2, "")
    assert "n cannot be 'few'\n  it was 3, an integer" in refused.err


async def test_a_clone_rewrites_and_shows_what_differs(evq: Any, bus: Bus) -> None:
    evq.repository()
    await evq("enqueue", "train.py", "--quiet", "--", "--lr", "0.1", "--amp", "data.csv=1")
    result = await evq("clone", "@", "--set", "lr=0.2", "--add", "epochs=5", "-q", "gpu", "--quiet")
    assert result.err == ""
    shown = await evq("clone", "@~1", "--set", "lr=0.2", "--add", "epochs=5", "-q", "gpu")
    assert "  lr      0.1 → 0.2\n  epochs  – → 5\n  queue   default → gpu\n" in shown.err
    spec = (await find(bus.log, result.out.strip())).spec
    assert spec.entry == Script("train.py", ("--lr", "0.2", "--amp", "data.csv=1", "--epochs", "5"))
    assert spec.name == "train.py --lr 0.2 --amp data.csv=1 --epochs 5"


async def test_a_clone_refuses_what_is_not_there(evq: Any, bus: Bus) -> None:
    await evq("enqueue", "--quiet", "--setenv", "A=1", "--", "python", "x.py", "--lr", "0.1")
    before = await bus.log.last_seq()
    for words, said in (
        (["--set", "lrr=1"], "there is no parameter 'lrr'; did you mean 'lr'?"),
        (["--set", "lr=abc"], "lr cannot be 'abc'"),
        (["--add", "lr=1"], "there is a parameter 'lr' already"),
        (["--unsetenv", "B"], "the task sets no such variable"),
        (["-m", "x", "y.py"], "a script or a module, not both"),
        (["--timeout", "soon"], "'soon' is not a duration"),
        (["--keep", "-1s"], "'-1s' is not a duration"),
    ):
        result = await evq("clone", "@", *words)
        assert (result.status, result.out) == (2, "")
        assert said in result.err, result.err
    assert await bus.log.last_seq() == before


async def test_every_part_can_be_another(evq: Any, bus: Bus) -> None:
    evq.repository()
    await evq("enqueue", "train.py", "--quiet", "--setenv", "A=1", "--tag", "x", "--", "--lr", "1")
    words = ["--env", "none", "--python", "3.12", "-r", "numpy", "--name", "n", "--tag", "y"]
    words += ["--priority", "7", "--retries", "1", "--timeout", "1m", "--grace", "2s"]
    words += ["--keep", "1h", "--unsetenv", "A", "--setenv", "B=2", "--json"]
    result = await evq("clone", "@", *words)
    spec = (await find(bus.log, result.json["task"])).spec
    assert (spec.manager, spec.python, spec.requirements) == ("none", "3.12", ("numpy",))
    assert (spec.name, spec.tags, spec.priority, spec.retries) == ("n", ("y",), 7, 1)
    assert (spec.timeout, spec.grace, spec.keep) == (60.0, 2.0, 3600.0)
    assert spec.variables == {"B": "2"}
    changes = {one["name"]: (one["old"], one["new"]) for one in result.json["changes"]}
    assert changes["keep"] == (None, 3600.0)
    assert changes["A"] == ("1", None)


@pytest.mark.parametrize(
    ("words", "entry"),
    [
        (["--", "--lr", "2"], Script("train.py", ("--lr", "2"))),
        (["--", "lr=2"], Script("train.py", ("lr=2",))),
        (["--"], Script("train.py")),
        (["--", "make", "figures"], Command(("make", "figures"))),
        (["eval.py"], Script("eval.py", ("--lr", "1"))),
        (["eval.py", "--", "data.csv"], Script("eval.py", ("data.csv",))),
        (["-m", "pkg.eval"], Module("pkg.eval", ("--lr", "1"))),
    ],
)
async def test_another_command(evq: Any, bus: Bus, words: list[str], entry: Any) -> None:
    evq.repository()
    await evq("enqueue", "train.py", "--quiet", "--", "--lr", "1")
    plan = await evq("clone", "@", "--dry-run", "--json", *words)
    assert (plan.status, plan.json["task"]) == (0, None), plan.err
    result = await evq("clone", "@", "--quiet", *words)
    assert (await find(bus.log, result.out.strip())).spec.entry == entry


async def test_another_commit_of_a_remote(evq: Any, bus: Bus) -> None:
    evq.repository()
    url = "https://git.example/team/project.git"
    snapshot = (await evq("enqueue", "train.py", "--quiet")).out.strip()
    refused = await evq("clone", snapshot, "--branch", "next")
    assert (refused.status, refused.out) == (2, "")
    assert "fix: --repo URL --branch next" in refused.err
    remote = await evq("clone", snapshot, "--repo", url, "--branch", "next", "--quiet")
    spec = (await find(bus.log, remote.out.strip())).spec
    assert (spec.code, spec.repo) == (None, Repo(url, branch="next"))
    for words, repo in (
        (["--commit", "v1.0"], Repo(url, commit="v1.0")),
        (["--branch", "main"], Repo(url, branch="main")),
    ):
        made = await evq("clone", remote.out.strip(), "--json", *words)
        assert made.status == 0, made.err
        assert (await find(bus.log, made.json["task"])).spec.repo == repo
        assert {one["name"] for one in made.json["changes"]} <= {"branch", "commit"}
