"""Tags and the archive on a real server: lists, conditions, the past, the live fleet, by age."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from evq.cli.selectors import ANY, ENDED, choose
from evq.core.decide import Rejected
from evq.core.past import Moment
from evq.core.questions import Named
from evq.core.sdk.filing import archive_all
from evq.core.sdk.live import live_fleet
from evq.projector.follow import following
from evq.projector.history import archive
from evq.projector.history.archive import archive_by_age

PATIENCE = 30.0


async def listed(user: Any, **params: Any) -> set[str]:
    return {row["task"] for row in await user.ask("tasks", **params)}


async def test_lists_and_conditions_leave_the_archive_out(user: Any, projector: Any) -> None:
    await projector.start()
    old, new = [(await user.live((await user.add()).task)).id for _ in range(2)]
    waits = (await user.add()).task
    await user.tag(old, ["paper", "best"])
    await user.tag(old, ["paper"], ["best"])
    before = (await user.archive(old, "the paper is out")).seq - 1
    assert await listed(user) == {new, waits}
    assert await listed(user, archived=True) == {old}
    rows = await user.sql("select task, tags from tasks where archived is not null")
    assert rows == [[old, ["paper"]]]
    assert await choose(user, (), "true", ENDED) == [new]
    assert await choose(user, (), "archived is not null", ENDED) == [old]
    assert await choose(user, (), "true", ENDED, archived=True) == [old]
    assert set(await choose(user, (), "'paper' in tags or true", ANY)) == {new, waits}
    then = Named("tasks", moment=Moment(before, 2**50))
    assert {row["task"] async for row in user.rows(then)} == {old, new, waits}
    with pytest.raises(Rejected, match="has not ended"):
        await user.archive(waits, "no")
    await user.retry(old, "once more")
    assert await listed(user) == {old, new, waits}
    (page,) = await user.ask("task_page", where=f"task = '{old}'")
    assert (page["tags"], page["archived"]) == (["paper"], None)


async def test_the_live_fleet_forgets_and_remembers(user: Any, projector: Any) -> None:
    await projector.start()
    ended = [await user.live((await user.add()).task) for _ in range(3)]
    names = [task.id for task in ended]
    async with live_fleet(user) as fleet:

        async def shows(*expected: str) -> None:
            seen, end = 0, await user.bus.log.last_seq()
            async with asyncio.timeout(PATIENCE):
                while fleet.seq < end:
                    seen = (await fleet.changed(seen, rest=0)).version
            assert [task.id for task in fleet.ended] == list(expected)
            assert fleet.queues["q"].completed == 3

        await shows(*reversed(names))
        await user.tag(names[0], ["paper"])
        await shows(*reversed(names))
        assert fleet.tasks[names[0]].tags == ("paper",)
        await user.archive(names[1], "done with")
        await shows(names[2], names[0])
        assert names[1] not in fleet.tasks
        async with live_fleet(user) as other:
            await other.caught_up()
            assert [task.id for task in other.ended] == [names[2], names[0]]
        await user.unarchive(names[1], "not yet")
        await shows(*reversed(names))


async def test_many_are_archived_in_batches_and_what_has_moved_on_is_left_alone(user: Any) -> None:
    ended = [await user.live((await user.add()).task) for _ in range(4)]
    await user.retry(ended[1].id, "once more")
    done = await archive_all(user.bus, user.author, ended, "old")
    assert done == 3
    after = [await user.get(task.id) for task in ended]
    assert [task.archived is not None for task in after] == [True, False, True, True]
    assert after[0].archived.reason == "old"


async def test_a_projector_archives_by_age(
    user: Any, tmp_path: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = [(await user.live((await user.add()).task)).id for _ in range(5)]
    waits = (await user.add()).task
    monkeypatch.setattr(archive, "_AT_ONCE", 2)
    async with following(user.bus, tmp_path / "db.duckdb", print) as follower:
        reading = asyncio.create_task(follower.run())
        await follower.reach((await user.bus.log.last_seq(), 0, 0))
        caretaker = asyncio.create_task(archive_by_age(user.bus, follower, 0.0, first=0.0))

        async def all_of_them() -> bool:
            return all([(await user.get(task)).archived for task in old])

        await until(all_of_them)
        for task in (reading, caretaker):
            task.cancel()
        await asyncio.wait({reading, caretaker})
    assert (await user.get(old[0])).archived.reason == "archive_after=0s"
    assert (await user.get(waits)).archived is None
