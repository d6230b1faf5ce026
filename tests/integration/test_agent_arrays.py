"""Arrays on real agents: each member runs with its index, and no more at once than may."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from evq.core.decide import Rejected
from evq.core.sdk.bulk import end_each
from evq.core.spec import Command, Spec
from evq.core.state import Ended


def watcher(queue: str, folder: Path, then: str) -> Spec:
    """A task that writes down how many of its kind are there."""
    script = (
        f"mkdir {folder}/at-{{index}} && ls -d {folder}/at-* | wc -l >> {folder}/counts;"
        f" echo $EVQ_ARRAY_INDEX of $EVQ_ARRAY_SIZE > {folder}/said-{{index}};"
        f" sleep 0.05; rmdir {folder}/at-{{index}}; {then}"
    )
    return Spec(
        entry=Command(("sh", "-c", script)), name="m{index:02}", queue=queue, manager="none"
    )


async def test_two_at_once_over_two_agents_and_the_failed_ones_again(
    queue: Any, start_agent: Any, tmp_path: Path, until: Callable[..., Any]
) -> None:
    folder = tmp_path / "seen"
    folder.mkdir()
    spec = watcher(
        queue.name, folder, then=f"test -e {folder}/mended || test $EVQ_ARRAY_INDEX -lt 6"
    )
    receipt = await queue.client.enqueue_array(spec, range(9), 2)
    for _ in range(2):
        start_agent([queue], "--slots", "4").ready()

    async def states() -> list[str]:
        return [one.name_of_state for one in await queue.client.members(receipt.array)]

    async def all_have_ended() -> bool:
        return not {"held", "queued", "claimed", "running"} & set(await states())

    await until(all_have_ended)
    assert await states() == ["completed"] * 6 + ["failed"] * 3
    assert [(folder / f"said-{n}").read_text() for n in range(9)] == [
        f"{n} of 9\n" for n in range(9)
    ]
    (folder / "mended").touch()
    put_back = [await queue.client.retry(task, "mended") for task in receipt.tasks[6:]]
    # an agent may have claimed it before the answer is read, or be done with it
    assert "failed" not in {one.name_of_state for one in put_back}
    await until(all_have_ended)
    assert await states() == ["completed"] * 9
    counts = [int(line) for line in (folder / "counts").read_text().split()]
    assert len(counts) == 12 and max(counts) <= 2


async def test_what_is_aborted_begins_no_more_and_another_array_goes_on(
    queue: Any, start_agent: Any, until: Callable[..., Any]
) -> None:
    client = queue.client
    spec = Spec(entry=Command(("sleep", "0.1")), name="m{index}", queue=queue.name, manager="none")
    doomed = (await client.enqueue_array(spec, range(200), 2)).tasks
    other = await client.enqueue_array(spec, range(12), 2)
    start_agent([queue], "--slots", "4").ready()

    async def some_have_ended() -> bool:
        return isinstance((await client.get(doomed[3])).state, Ended)

    async def all_have_ended() -> bool:
        found = [await client.get(task) for task in doomed]
        found += await client.members(other.array)
        return all(isinstance(one.state, Ended) for one in found)

    await until(some_have_ended)
    done = await end_each(client, doomed, lambda task: client.abort(task, "no more"))
    assert all(one.now or isinstance(one.error, Rejected) for one in done)
    await until(all_have_ended)
    members = await client.members(other.array)
    assert [one.name_of_state for one in members] == ["completed"] * 12
    for one in done:
        if one.now and isinstance(one.now.state, Ended):
            assert await client.get(one.task) == one.now, "nothing followed on its end"
    ends = [(await client.get(task)).name_of_state for task in doomed]
    assert "aborted" in ends and set(ends) <= {"aborted", "completed"}
