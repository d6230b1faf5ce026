"""Arrays on the command line: enqueued, named as a whole or in parts, in one line."""

from __future__ import annotations

from typing import Any

from evq.core.bus.connect import Bus
from evq.core.sdk.client import Client


async def test_an_array_is_enqueued_and_named(evq: Any, bus: Bus, played: Any) -> None:
    words = ("--array", "3-6%2", "--name", "s{index}", "--", "train", "--seed", "{index:02}")
    plan = await evq("enqueue", "--dry-run", *words)
    assert "array  4 members, 3-6, 2 at once" in plan.out
    facts = (await evq("enqueue", "--json", *words)).json
    members = await Client(bus).members(facts["task"])
    assert facts["members"] == [one.id for one in members]
    assert [one.spec.name for one in members] == ["s3", "s4", "s5", "s6"]
    assert members[0].spec.entry.argv == ("train", "--seed", "03")

    shown = (await evq("show", "--json")).json
    assert shown["array"] == {
        "id": facts["task"],
        "first": 3,
        "size": 4,
        "most": 2,
        "state": "queued",
        "counts": {"queued": 2, "held": 2},
    }
    assert [one["index"] for one in shown["members"]] == [3, 4, 5, 6]
    assert f"array {facts['task']}" in (await evq("show", facts["task"])).out
    one = (await evq("show", "@/5", "--json")).json
    assert (one["task"], one["array"]["index"]) == (members[2].id, 5)
    assert "its turn has not come: 2 of array" in (await evq("why", "@/5")).out
    many = await evq("why", "@")
    assert many.status == 2 and f"name one of 3-6%2: {facts['task']}/3" in many.err
    strange = await evq("show", "@/7")
    assert strange.status == 4 and "has no member 7" in strange.err


async def test_what_failed_runs_again_and_the_rest_is_aborted(
    evq: Any, bus: Bus, played: Any
) -> None:
    array = (await evq("enqueue", "--quiet", "--array", "0-4%2", "--", "train")).out.strip()
    ids = [one.id for one in await Client(bus).members(array)]
    await played.runs(ids[0])
    await played.runs(ids[1], exit_code=3)
    again = await evq("retry", array, "--failed")
    assert again.out == f"task {ids[1]} held again\n", "two others have their turn"
    dry = await evq("abort", f"{array}/2-4", "--dry-run")
    assert dry.out.split() == ids[2:]
    result = await evq("abort", array, "--where", "true")
    assert result.status == 2
    result = await evq("abort", f"{array}/1-4")
    assert result.out.splitlines() == [f"task {one} aborted" for one in ids[1:]]
    waited = await evq("wait", array, "--json")
    assert (waited.status, [one["state"] for one in waited.json]) == (
        143,
        ["completed", *["aborted"] * 4],
    )
    tagged = await evq("tag", f"{array}/0,4", "--add", "paper")
    assert tagged.status == 0 and len(tagged.out.splitlines()) == 3


async def test_the_logs_of_members_are_told_apart(evq: Any, bus: Bus, played: Any) -> None:
    array = (await evq("enqueue", "--quiet", "--array", "8-10", "--", "train")).out.strip()
    for one in await Client(bus).members(array):
        await played.runs(one.id, f"hello {one.spec.array.index}")
    result = await evq("logs", array)
    lines = result.out.splitlines()
    assert sorted(lines) == sorted(["[ 8] hello 8", "[ 9] hello 9", "[10] hello 10"])
    assert (await evq("logs", f"{array}/9")).out == "hello 9\n"


async def test_what_is_no_array_is_refused(evq: Any, bus: Bus) -> None:
    for text in ("5", "9-3", "0-9%0"):
        result = await evq("enqueue", "--array", text, "--", "train")
        assert result.status == 2 and "error[E01]" in result.err
    both = await evq("enqueue", "--array", "0-3", "--nodes", "2", "--", "train")
    assert both.status == 2 and "several nodes" in both.err
