"""Gangs on the command line: an agent is played that has all ranks."""

from __future__ import annotations

from typing import Any

from evq.core import decide
from evq.core.bus.connect import Bus
from evq.core.events import Cause, Outcome
from evq.core.fleet.resources import Offer
from evq.core.gangs.gang import member_id
from evq.core.gangs.gather import GATHER
from evq.core.state import Task


async def gathers(played: Any, gang: str, nodes: int) -> None:
    """All ranks claimed, set up, and let start."""
    for rank in range(nodes):
        await played.claims(member_id(gang, rank))
        await played.does(member_id(gang, rank), decide.BeginPhase(played.holder, GATHER))
    await played.does(gang, decide.Assemble("10.0.0.7", 29500))


async def starts(played: Any, gang: str, nodes: int) -> list[Task]:
    await gathers(played, gang, nodes)
    return [await played.starts(member_id(gang, rank)) for rank in range(nodes)]


async def fails(played: Any, task: str, exit_code: int) -> None:
    end = decide.Finish(played.holder, Outcome.FAILED, exit_code, Cause.CODE, "boom")
    await played.does(task, end)


async def follows(played: Any, task: str) -> None:
    """The agent ends what it was told to end."""
    await played.does(task, decide.Finish(played.holder, Outcome.FAILED, -15, Cause.GANG))


async def first_task(bus: Bus) -> str:
    async with bus.log.follow(1, ["evq.q.>"]) as batches:
        async for batch in batches:
            return batch[0].subject.rpartition(".")[2]
    raise AssertionError("following has no end")


async def test_run_shows_all_ranks_and_ends_with_the_status_of_who_failed(
    evq: Any, bus: Bus, played: Any
) -> None:
    await played.appear("default", slots=2)
    async with evq.start("run", "--nodes", "2", "--", "train") as process:
        gang = await first_task(bus)
        first, second = await starts(played, gang, 2)
        await played.says(first, ("o", "hello from 0"))
        await played.says(second, ("o", "hello from 1"), ("e", "oh no"))
        await fails(played, second.id, 3)
        await follows(played, first.id)
        out, err = (text.decode() for text in await process.communicate())
    assert process.returncode == 3
    assert sorted(out.splitlines()) == ["[0] hello from 0", "[1] hello from 1"]
    assert "[1] oh no\n" in err
    assert "[0]   ▸ its gang ends: rank 1 failed with exit status 3: boom" in err
    assert "rank 0 is at 10.0.0.7:29500" in err
    assert f"rank 1  {second.id}  failed  laptop  exit status 3" in err


async def test_logs_of_one_rank_and_of_all(evq: Any, played: Any) -> None:
    await played.appear("default")
    gang = (await evq("enqueue", "--nodes", "2", "--quiet", "--", "train")).out.strip()
    for rank, task in enumerate(await starts(played, gang, 2)):
        await played.says(task, ("o", f"hello from {rank}"))
        await played.ends(task.id)
    assert (await evq("logs", gang)).out == "hello from 0\n"
    assert (await evq("logs", gang, "--rank", "1")).out == "hello from 1\n"
    assert (await evq("logs", f"{gang}/1")).out == "hello from 1\n"
    shown = (await evq("logs", gang, "--rank", "all")).out.splitlines()
    assert sorted(shown) == ["[0] hello from 0", "[1] hello from 1"]
    for wrong in ("2", "x"):
        result = await evq("logs", gang, "--rank", wrong)
        assert result.status == 2
        assert "its ranks are 0 to 1" in result.err


async def test_show_tells_of_all_members(evq: Any, played: Any) -> None:
    await played.appear("default")
    gang = (await evq("enqueue", "--nodes", "3", "--quiet", "--", "train")).out.strip()
    tasks = await starts(played, gang, 3)
    await fails(played, tasks[1].id, 9)
    facts = (await evq("show", gang, "--json")).json["gang"]
    assert (facts["id"], facts["nodes"], facts["decisive_rank"]) == (gang, 3, 1)
    assert [one["state"] for one in facts["members"]] == ["running", "failed", "running"]
    assert facts["members"][1]["exit_status"] == 9
    assert 0 <= facts["spread_seconds"] < 60
    page = (await evq("show", gang)).out
    assert "gang of 3" in page and "all started within" in page
    assert (await evq("show", f"{gang}/2", "--json")).json["gang_rank"] == 2


async def test_wait_is_over_when_all_have_ended(evq: Any, played: Any) -> None:
    await played.appear("default")
    gang = (await evq("enqueue", "--nodes", "2", "--quiet", "--", "train")).out.strip()
    first, second = await starts(played, gang, 2)
    await played.ends(first.id)
    assert (await evq("wait", gang, "--timeout", "0.1s")).status == 75
    await fails(played, second.id, 4)
    result = await evq("wait", gang, f"{gang}/1")
    assert result.status == 4
    assert result.out.count("failed") == 1


async def test_an_abort_and_a_retry_are_of_all(evq: Any, played: Any) -> None:
    gang = (await evq("enqueue", "--nodes", "2", "--quiet", "--", "train")).out.strip()
    assert (await evq("abort", f"{gang}/1")).status == 0
    for rank in range(2):
        assert (await evq("show", f"{gang}/{rank}", "--json")).json["state"] == "aborted"
    assert (await evq("retry", gang)).status == 0
    await played.appear("default")
    await starts(played, gang, 2)


async def test_a_gang_that_is_too_large_is_told_so(evq: Any, played: Any, projector: Any) -> None:
    await played.appear("default", slots=2)
    result = await evq("enqueue", "--nodes", "3", "--", "train")
    gang = result.out.strip()
    assert "needs 3 places at once" in result.err
    async with projector({"why": [], "ahead": [], "held": []}):
        why = (await evq("why", gang, "--json")).json
    assert why["waits_for"] == "gang"
    assert "have 2 for it" in why["because"]


async def test_ranks_in_containers_with_networks_of_their_own_are_warned_of(
    evq: Any, played: Any
) -> None:
    await played.appear("default", offer=Offer(slots=2))
    words = ("enqueue", "--nodes", "2", "--docker", "python:3.12-slim")
    assert "--network=host" in (await evq(*words, "--", "train")).err
    more = (*words, "--docker-arg=--network=host")
    assert "warning" not in (await evq(*more, "--", "train")).err
