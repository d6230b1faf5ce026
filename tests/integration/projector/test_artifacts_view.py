"""What was saved can be asked for in SQL."""

from __future__ import annotations

from typing import Any

from evq.core import decide
from evq.core.handle import find, handle
from evq.core.questions import Sql
from evq.core.spec import Command, Spec


async def test_artifacts_are_a_view(projector: Any, user: Any, until: Any) -> None:
    await projector.start()
    spec = Spec(entry=Command(("true",)), name="t", queue="q")
    task = (await user.enqueue(spec)).task
    holder = decide.Holder("i", 1)

    async def does(command: decide.Command) -> None:
        known = await find(user.bus.log, task)
        await handle(user.bus.log, user.author, known, command)

    known = await user.get(task)
    await does(decide.Claim("w", "i", 0, known.place.hint, 10.0))
    await does(decide.SaveArtifact(holder, "a", "00" * 32, 7, False, "nats"))
    await does(decide.SaveArtifact(holder, "b", "01" * 32, 8, True, "s3://lab"))
    await does(decide.SaveArtifact(holder, "a", "02" * 32, 9, False, "nats"))

    async def all_three() -> list[dict[str, Any]] | None:
        # SQL is asked of a copy, which may be half a second old.
        text = "SELECT * EXCLUDE (ts, seq) FROM artifacts ORDER BY seq"
        rows = [row async for row in user.rows(Sql(text))]
        return rows if len(rows) == 3 else None

    first, second, third = await until(all_three)
    assert (first["task"], first["attempt"], first["digest"]) == (task, 1, "00" * 32)
    assert (second["size"], second["folder"], second["depot"]) == (8, True, "s3://lab")
    assert (third["folder"], third["depot"]) == (False, "nats")
    assert [row["latest"] for row in (first, second, third)] == [False, True, True]
