"""A run of a pipeline as the dashboard draws it, out of what stands in its journal."""

from __future__ import annotations

from typing import Any

import msgspec
from pipelines import World, pipeline

from evq.projector.web.pages.services.pipeline_graph import (
    Part,
    columns,
    fold,
    in_order,
    picture,
)
from evq.services.pipeline.facts import Created, Planned, Resumed, RunEnded, Settled, StopWished
from evq.services.pipeline.graph import graph

STEPS = {
    "prepare": {},
    "train": {"each": [1, 2, 3], "after": ["prepare"]},
    "other": {"after": ["prepare"]},
    "report": {"after": ["train", "other"]},
}


def rows(world: World) -> list[dict[str, Any]]:
    """What the database gives of the journal."""
    empty = {"edges": None, "plans": None, "results": None, "parts": None}
    found = []
    for fact in world.facts:
        assert isinstance(fact, Created | Planned | Settled | StopWished | Resumed | RunEnded)
        told = msgspec.to_builtins(fact)
        row = empty | {name: told[name] for name in ("kind", *empty) if name in told}
        for one in row["results"] or ():
            for name, value in {"task": "", "reused": False, "evidence": ""}.items():
                one.setdefault(name, value)
        found.append(row)
    return found


def drawn(outcomes: dict[str, str]) -> dict[str, dict[str, Any]]:
    definition = pipeline(STEPS, on_failure="skip")
    world = World(definition, edges=graph(definition).parents)
    world.carry_through(outcomes)
    (series,) = picture(*fold(rows(world)))["series"]
    assert {(one["source"], one["target"]) for one in series["links"]} == {
        ("prepare", "train"),
        ("prepare", "other"),
        ("train", "report"),
        ("other", "report"),
    }
    return {one["name"]: one for one in series["data"]}


def test_steps_stand_right_of_what_they_wait_for() -> None:
    edges = {"a": [], "b": ["a"], "c": ["a", "b"]}
    assert columns(edges) == {"a": 0, "b": 1, "c": 2}
    assert set(columns({"a": ["b"], "b": ["a"]})) == {"a", "b"}, "a circle has an end"


def test_parts_are_listed_as_their_steps_are_drawn() -> None:
    edges = {"report": ["train"], "prepare": [], "train": ["prepare"], "check": ["prepare"]}
    planned = ["prepare", "check", *(f"train[{n}]" for n in (10, 2, 0)), "report"]
    listed = in_order(edges, {name: Part(name, "running") for name in planned})
    assert [one.name for one in listed] == [
        "prepare",
        *("train[0]", "train[2]", "train[10]"),
        "check",
        "report",
    ]


def test_a_step_says_how_far_it_is() -> None:
    nodes = drawn({"train[1]": "failed"})
    assert nodes["train"]["label"]["formatter"] == "train 3/3"
    assert nodes["train"]["value"] == "2 completed, 1 failed"
    assert nodes["report"]["value"].startswith("1 skipped: train[1] failed")
    colours = {name: one["itemStyle"]["color"] for name, one in nodes.items()}
    assert colours["train"] != colours["prepare"] == colours["other"]


def test_what_runs_again_is_what_it_was_before() -> None:
    definition = pipeline(STEPS)
    world = World(definition, edges=graph(definition).parents)
    world.carry_through()
    world.write(Resumed(("report",)))
    _, parts = fold(rows(world))
    assert "report" not in parts and len(parts) == 5
