"""`evq abort` and `evq retry`."""

from __future__ import annotations

from typing import Any

from evq.core.bus.connect import Bus
from evq.core.handle import find


async def test_a_task_that_waits_is_aborted_at_once(evq: Any, bus: Bus) -> None:
    task = (await evq("enqueue", "--quiet", "--", "train")).out.strip()
    result = await evq("abort", "@", "--reason", "wrong data")
    assert (result.status, result.out) == (0, f"task {task} aborted\n")
    facts = (await evq("show", "--json")).json
    assert (facts["state"], facts["evidence"]) == ("aborted", "wrong data")


async def test_a_task_that_runs_is_told_to_end(evq: Any, bus: Bus, played: Any) -> None:
    task = (await evq("enqueue", "--quiet", "--", "train")).out.strip()
    await played.claims(task)
    async with bus.calls.listen(f"evqcmd.{played.NAME}") as words:
        result = await evq("abort", task)
        assert await anext(aiter(words)) == task.encode()
    assert result.out == f"task {task} is told to end; agent laptop runs it\n"
    again = await evq("abort", task)
    assert again.status == 5
    assert "is being aborted already" in again.err


async def test_one_refusal_does_not_keep_the_others_from_it(
    evq: Any, bus: Bus, played: Any
) -> None:
    ids = [(await evq("enqueue", "--quiet", "--", "train")).out.strip() for _ in range(3)]
    await played.runs(ids[0])
    result = await evq("abort", *ids, "--json")
    assert result.status == 5
    assert [one["task"] for one in result.json] == ids[1:]
    assert '"code":"E04"' in result.err.replace(" ", "")


async def test_nothing_is_changed_if_one_task_is_not_there(evq: Any, bus: Bus) -> None:
    task = (await evq("enqueue", "--quiet", "--", "train")).out.strip()
    assert (await evq("abort", task, "@~9")).status == 4
    assert (await find(bus.log, task)).name_of_state == "queued"


async def test_retry_puts_it_back(evq: Any, bus: Bus, played: Any) -> None:
    task = (await evq("enqueue", "--quiet", "--", "train")).out.strip()
    refused = await evq("retry", "@")
    assert refused.status == 5
    assert "has not ended" in refused.err
    await played.runs(task, exit_code=1)
    result = await evq("retry", "@", "--json")
    assert result.status == 0
    assert result.json == [
        {
            "task": task,
            "name": "train",
            "queue": "default",
            "state": "queued",
            "exit_status": None,
            "cause": None,
        }
    ]
