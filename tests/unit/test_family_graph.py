"""The graph of tasks that made and await each other."""

from __future__ import annotations

from typing import Any

from evq.projector.web.pages.services.graph import columns, picture


def member(task: str, parent: str | None = None, awaits: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "task": task,
        "name": "{a}" + "x" * 40,
        "state": "queued",
        "parent": parent,
        "awaits": list(awaits),
    }


MEMBERS = [
    member("root", "gone"),
    member("a", "root"),
    member("b", "root", ("a",)),
    member("c", "root", ("a", "b", "elsewhere")),
    member("d", "c"),
]


def test_each_stands_right_of_what_comes_before_it() -> None:
    assert columns(MEMBERS) == {"root": 0, "a": 1, "b": 2, "c": 3, "d": 4}
    assert columns([]) == {}


def test_arrows_are_waits_and_dots_are_origins() -> None:
    (series,) = picture(MEMBERS)["series"]
    arrows = {(one["source"], one["target"]): "lineStyle" in one for one in series["links"]}
    assert arrows == {
        ("root", "a"): True,
        ("a", "b"): False,
        ("a", "c"): False,
        ("b", "c"): False,
        ("c", "d"): True,
    }
    labels = [one["label"]["formatter"] for one in series["data"]]
    assert all("{" not in label and len(label) <= 24 for label in labels)
    assert len({(one["x"], one["y"]) for one in series["data"]}) == len(MEMBERS)
