"""`evq tag` and `evq archive`."""

from __future__ import annotations

from typing import Any

from evq.core import subjects
from evq.core.bus.connect import Bus
from evq.core.handle import find


async def test_a_task_is_tagged_in_any_state_and_the_way_back_is_printed(
    evq: Any, bus: Bus, played: Any
) -> None:
    task = (await evq("enqueue", "--quiet", "--tag", "draft", "--", "train")).out.strip()
    result = await evq("tag", "@", "--add", "my paper", "--add", "draft", "--remove", "none")
    assert result.out.splitlines() == [
        f"task {task} is tagged draft my paper",
        f"  undo evq tag {task} --remove 'my paper'",
    ]
    await played.claims(task)
    facts = (await evq("tag", "@", "-a", "best", "-r", "draft", "--json")).json
    assert facts[0]["undo"] == [f"evq tag {task} --add draft --remove best"]
    shown = (await evq("show", "--json")).json
    assert (shown["state"], shown["tags"]) == ("claimed", ["my paper", "best"])
    again = await evq("tag", "@", "--add", "best")
    assert again.out == f"task {task} is tagged my paper best\n"
    history = await bus.log.history(subjects.lifecycle("default", task))
    assert len(history) == 3, "what changes nothing is no event"
    events = (await evq("events", task)).out
    assert "tagged +my paper" in events and "tagged +best -draft" in events


async def test_a_wrong_tag_is_refused_before_anything_is_asked(evq: Any, bus: Bus) -> None:
    for words in ((), ("--add", " "), ("--add", "a\nb"), ("--add", "a", "--remove", "a")):
        result = await evq("tag", "abcdef", *words)
        assert result.status == 2, words
        assert "error[E01]" in result.err and "fix:" in result.err


async def test_only_what_has_ended_is_archived_and_comes_back(
    evq: Any, bus: Bus, played: Any
) -> None:
    task = (await evq("enqueue", "--quiet", "--", "train")).out.strip()
    early = await evq("archive", "@")
    assert early.status == 5 and "has not ended" in early.err
    await played.runs(task, exit_code=1)
    result = await evq("archive", "@", "--reason", "the paper is out")
    assert result.out.splitlines() == [
        f"task {task} is archived",
        f"  undo evq archive --undo {task}",
    ]
    assert "the paper is out" in (await evq("show")).out
    twice = await evq("archive", "@", "--json")
    assert twice.status == 5 and twice.json == [] and "is archived already" in twice.err
    back = await evq("archive", "--undo", "@", "--json")
    assert back.json[0]["undo"] == [f"evq archive {task}"]
    assert (await find(bus.log, task)).archived is None
    await evq("archive", "@")
    assert (await evq("retry", "@")).status == 0
    assert (await find(bus.log, task)).archived is None
    assert (await evq("archive", "--undo", "@")).status == 5
