"""Arrays in lists: one row, with what became of the members."""

from __future__ import annotations

from typing import Any

from evq.core.questions import Named
from evq.core.spec import Command, Spec

SPEC = Spec(entry=Command(("train",)), name="t{index}", queue="q", user="ada", host="box")


async def test_an_array_is_one_row(user: Any, projector: Any) -> None:
    await projector.start()
    alone = (await user.add()).task
    receipt = await user.enqueue_array(SPEC, range(5), 2)
    await user.live(receipt.tasks[0])
    rows = await user.ask("tasks", arrays=True)
    assert [row["array_id"] for row in rows] == [receipt.array, None]
    counts = {name: count for name, count in rows[0].items() if name.startswith("members")}
    assert {name: count for name, count in counts.items() if count} == {
        "members": 5,
        "members_held": 2,
        "members_queued": 2,
        "members_completed": 1,
    }
    assert rows[1]["task"] == alone and rows[1]["members"] is None
    (held,) = await user.ask("tasks", arrays=True, states=["held"])
    assert (held["members"], held["members_held"]) == (2, 2)
    assert len(await user.ask("tasks")) == 6
    assert {row["task"] for row in await user.ask("resolve", prefix=receipt.array[:8])} == {
        receipt.array
    }
    (latest,) = await user.ask("latest")
    assert latest["task"] == receipt.array
    rows = await user.sql(
        f"select array_index, state from tasks where array_id = '{receipt.array}' order by 1"
    )
    assert rows == [
        [0, "completed"],
        [1, "queued"],
        [2, "queued"],
        [3, "held"],
        [4, "held"],
    ]
    (facet,) = [
        row async for row in user.rows(Named("task_facet", {"facet": "array_id", "where": ""}))
    ]
    assert (facet["value"], facet["n"]) == (receipt.array, 5)
    (turns,) = await user.sql("select count(*) from events where kind = 'turns'")
    assert turns == [2]
    assert await user.ask("dead_letters") == []
