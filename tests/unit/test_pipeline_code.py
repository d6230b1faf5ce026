"""The code of a step: what lies around the pipeline, or a remote's; and what its cache knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pipelines import World, pipeline

from evq.core.errors import UsageError
from evq.core.spec import Repo, Spec
from evq.services.pipeline.creating import placed
from evq.services.pipeline.facts import Created, Plan
from evq.services.pipeline.local import Local
from evq.services.pipeline.reading import read
from evq.services.pipeline.tasks import plan_of

HOST = "https://host.example/lab/code"


def planned(**step: Any) -> tuple[Plan, Spec]:
    world = World(pipeline({"a": step}, cache=True))
    return plan_of(world.run(), "a")


def test_a_step_runs_what_lies_around_the_pipeline() -> None:
    plan, spec = planned()
    assert spec.code and spec.code.snapshot == "s" and spec.repo is None
    assert plan.digest


def test_a_step_runs_the_code_of_a_remote() -> None:
    plan, spec = planned(repo=HOST, commit="v1.2", script="train.py")
    assert (spec.repo, spec.code) == (Repo(HOST, commit="v1.2"), None)
    assert plan.digest not in ("", planned(repo=HOST, commit="v1.3", script="train.py")[0].digest)


def test_what_a_branch_gave_is_not_taken_again() -> None:
    plan, spec = planned(repo=HOST, branch="next", script="train.py")
    assert spec.repo == Repo(HOST, branch="next")
    assert plan.digest == ""


def test_a_set_up_script_is_part_of_what_a_result_follows_from() -> None:
    plan, spec = planned(setup="apt-get install -y ffmpeg\n", image="debian")
    assert spec.setup == "apt-get install -y ffmpeg\n"
    assert plan.digest != planned(image="debian")[0].digest


def test_a_list_of_requirements_is_of_the_code_that_runs(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "more.txt").write_text("numpy\n")
    steps = {"own": {"requirements": ["more.txt"]}}
    steps["remote"] = {"requirements": ["more.txt"], "repo": HOST}
    found = placed(pipeline(steps), tmp_path / "inner", tmp_path).steps
    assert [found[name].requirements for name in steps] == [("inner/more.txt",), ("more.txt",)]


@pytest.mark.parametrize(
    ("step", "what"),
    [
        ('script = "a.py"\nbranch = "next"', "branch means nothing without repo"),
        (f'function = "a.py:f"\nrepo = "{HOST}"', "a function is code of the pipeline's own file"),
        ('script = "a.py"\nrepo = "file:///etc"', "file:///etc"),
    ],
)
def test_what_cannot_be_is_refused_before_it_begins(tmp_path: Path, step: str, what: str) -> None:
    file = tmp_path / "pipeline.toml"
    file.write_text(f'name = "p"\n[steps.a]\n{step}\n')
    with pytest.raises(UsageError) as caught:
        read(file, {})
    assert caught.value.what.startswith("pipeline.toml: step a: ") and what in caught.value.what


def test_here_and_now_no_code_is_fetched(tmp_path: Path) -> None:
    definition = pipeline({"a": {"script": "train.py", "repo": HOST}})
    ended = Local(Created(definition), tmp_path, lambda part, what: None).run()
    assert ended.state == "failed"
    assert "is not fetched with --local" in ended.result("a").evidence
