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


SAVE = """
import os, evq
os.makedirs("made/deep", exist_ok=True)
open("made/deep/model.pt", "w").write("weights")
evq.save("made/deep/model.pt", "model.pt")
evq.save("made", "all")
"""

LOAD = """
import sys, evq
one = evq.load(sys.argv[1], to="loaded")
all = evq.load(sys.argv[2], "all", to="loaded")
try:
    evq.load("@", "model.pt")
except FileNotFoundError as error:
    evq.output(one=one.read_text(), deep=(all / "deep/model.pt").read_text(), error=str(error))
"""


def test_what_one_saves_another_loads(tmp_path: Path) -> None:
    (tmp_path / "save.py").write_text(SAVE)
    (tmp_path / "load.py").write_text(LOAD)
    steps = {
        "save": {"script": "save.py"},
        "load": {
            "script": "load.py",
            "args": ["${steps.save.artifacts.model.pt}", "${steps.save.task}"],
        },
    }
    ended, told = run(tmp_path, steps)
    assert ended.state == "completed", told
    saved, loaded = ended.result("save"), ended.result("load")
    assert saved and saved.artifacts == ("model.pt", "all")
    assert loaded and (loaded.outputs["one"], loaded.outputs["deep"]) == ("weights", "weights")
    assert "has no artifact model.pt" in loaded.outputs["error"]


def test_inputs_would_write_into_the_folder_and_are_refused(tmp_path: Path) -> None:
    (tmp_path / "save.py").write_text(SAVE)
    steps = {
        "save": {"script": "save.py"},
        "use": {"inputs": ["${steps.save.artifacts.model.pt}"]},
    }
    ended, told = run(tmp_path, steps)
    assert ended.state == "failed" and "inputs cannot be put in place" in told[-1]


def test_an_artifact_that_was_not_saved_is_named(tmp_path: Path) -> None:
    steps = {"save": {}, "use": {"args": ["${steps.save.artifacts.model.pt}"]}}
    ended, _ = run(tmp_path, steps)
    assert ended.ended
    assert "save has saved no artifact model.pt (it has saved none)" in ended.ended.evidence
