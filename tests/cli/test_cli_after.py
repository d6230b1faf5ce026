"""`--after`: tasks that wait for others, and what is said of them."""

from __future__ import annotations

from typing import Any

from evq.core.bus.connect import Bus
from evq.core.handle import find


async def enqueued(evq: Any, *words: str) -> str:
    result = await evq("enqueue", "--quiet", *words, "--", "train")
    assert result.status == 0, result.err
    return str(result.out.strip())


async def test_a_task_waits_for_the_last_one_and_for_a_named_one(
    evq: Any, bus: Bus, played: Any
) -> None:
    await played.appear("default")
    first = await enqueued(evq, "--name", "prepare")
    second = await enqueued(evq, "--after", "@")
    shown = await evq("enqueue", "--after", f"{first[:8]}:any", "--after", second, "--", "train")
    third = shown.out.strip()
    assert f"after  {first} any, {second} ok" in shown.err
    facts = (await evq("show", "--json")).json
    assert (facts["task"], facts["state"]) == (third, "held")
    assert facts["after"] == [{"task": first, "on": "any"}, {"task": second}]
    assert (await evq("show", first, "--json")).json["awaited_by"] == [second, third]
    page = (await evq("show")).out
    assert "until 2 tasks have ended" in page and f"{first} any, {second} ok" in page
    await played.runs(first)
    assert f"{first} any (completed)" in (await evq("show")).out
    assert [(await find(bus.log, one)).name_of_state for one in (second, third)] == [
        "queued", "held",
    ]  # fmt: skip


async def test_why_says_what_it_waits_for(evq: Any, bus: Bus, played: Any) -> None:
    await played.appear("default")
    first = await enqueued(evq, "--name", "prepare")
    other = await enqueued(evq)
    await enqueued(evq, "--after", first, "--after", f"{other}:failed")
    await played.claims(first)
    reasons = (await evq("why", "--json")).json["reasons"]
    assert reasons == [
        {"ok": False, "text": f"task {first} (prepare) is to complete: claimed"},
        {"ok": False, "text": f"task {other} (train) is to fail: queued"},
    ]
    await played.starts(first)
    await played.ends(first)
    reasons = (await evq("why", "--json")).json["reasons"]
    assert reasons[0] == {"ok": True, "text": f"task {first} (prepare) is to complete: completed"}


async def test_what_can_never_run_says_so_at_once(evq: Any, played: Any) -> None:
    first = await enqueued(evq)
    await played.runs(first, exit_code=1)
    result = await evq("enqueue", "--after", "@", "--", "train")
    task = result.out.strip()
    assert result.status == 0
    assert f"it will not run: task {first} failed, and this one was to run after it" in result.err
    assert f"evq retry {task}" in result.err
    run = await evq("run", "--after", first, "--", "train")
    assert run.status == 143
    facts = (await evq("show", "--json")).json
    assert (facts["state"], facts["cause"]) == ("aborted", "dependency")
    assert f"task {first}, which it awaits, failed" in (await evq("events", task)).out


async def test_a_clone_waits_for_the_same_or_for_others_or_for_none(evq: Any, played: Any) -> None:
    first, other = await enqueued(evq), await enqueued(evq)
    task = await enqueued(evq, "--after", first)
    same = (await evq("clone", task, "--json")).json
    assert (same["after"], same["changes"]) == ([{"task": first}], [])
    another = await evq("clone", task, "--after", other)
    assert f"{first}:ok" in another.err and f"{other}:ok" in another.err
    assert (await evq("clone", task, "--after", "none", "--json")).json["after"] == []


async def test_bad_words_are_told_before_anything_is_sent(evq: Any) -> None:
    first = await enqueued(evq)
    for words, status, what in (
        (["--after", f"{first}:done"], 2, "names no task and how it is to end"),
        (["--after", ":ok"], 2, "names no task"),
        (["--after", first, "--after", f"{first}:any"], 2, "twice"),
        (["--after", "0" * 12], 4, "there is no task 000000000000"),
    ):
        result = await evq("enqueue", *words, "--", "train")
        assert (result.status, what in result.err) == (status, True), result.err


async def test_a_held_task_is_aborted_and_listed(evq: Any, projector: Any) -> None:
    first = await enqueued(evq)
    task = await enqueued(evq, "--after", first)
    async with projector({"tasks": []}) as asked:
        assert (await evq("ls", "-s", "held")).status == 0
        assert asked[0]["params"]["states"] == ["held"]
    assert (await evq("abort", task)).out == f"task {task} aborted\n"
