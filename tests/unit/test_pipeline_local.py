"""A run on this machine alone: real processes, no server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines import pipeline

from evq.services.pipeline.facts import Created
from evq.services.pipeline.local import Local
from evq.services.pipeline.run import Run

GIVE = """
import sys, json, evq
evq.log({"loss": 0.5})
evq.log({"loss": 0.25})
evq.output(list=[1, 2], given=sys.argv[1:])
sys.exit("broken" in sys.argv)
"""


def run(folder: Path, steps: dict[str, Any]) -> tuple[Run, list[str]]:
    (folder / "give.py").write_text(GIVE)
    told: list[str] = []
    definition = pipeline({name: {"script": "give.py", **step} for name, step in steps.items()})
    local = Local(Created(definition), folder, lambda part, what: told.append(f"{part} {what}"))
    return local.run(), told


def test_values_are_passed_on(tmp_path: Path) -> None:
    steps = {
        "one": {"args": ["a b"]},
        "each": {"each": "${steps.one.outputs.list}", "args": ["${item}"]},
        "last": {"args": ["${steps.each.outputs.given}", "${steps.one.metrics.loss}"]},
    }
    ended, told = run(tmp_path, steps)
    assert ended.state == "completed"
    result = ended.result("last")
    assert result and result.outputs["given"] == ['[["1"], ["2"]]', "0.25"]
    assert told == [
        f"{name} {what}"
        for name in ("one", "each[0]", "each[1]", "last")
        for what in ("begins", "completed")
    ]


def test_a_failure_is_tried_again_and_then_ends_the_run(tmp_path: Path) -> None:
    steps = {"one": {"args": ["broken"], "retries": 1}, "two": {"after": ["one"]}}
    ended, told = run(tmp_path, steps)
    assert ended.state == "failed" and list(ended.parts) == ["one"]
    assert told == [
        "one begins",
        "one failed: it ended with 1; once more",
        "one failed: it ended with 1",
    ]


def test_one_that_runs_too_long_is_ended(tmp_path: Path) -> None:
    ended, _ = run(
        tmp_path, {"one": {"script": None, "command": ["sleep", "60"], "timeout": "0.2s"}}
    )
    result = ended.result("one")
    assert result and result.outcome == "timed_out"
