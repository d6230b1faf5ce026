"""What services decide can be asked for in SQL; what is no decision is put aside."""

from __future__ import annotations

from typing import Any

import msgspec
from projecting import caught_up

from evq.core import subjects, wire
from evq.core.events import AgentResumed
from evq.core.journal import Noted
from evq.core.ports import Entry
from evq.core.questions import Sql
from evq.core.sdk.journal import Journal


class Began(msgspec.Struct, frozen=True, tag_field="what", tag="began"):
    trial: int


def evolve(state: int, noted: Noted[Began]) -> int:
    return state + 1


async def test_decisions_are_a_view(projector: Any, user: Any, until: Any) -> None:
    await projector.start()
    journal = Journal(user, "sweep", "lr", facts=Began, start=0, evolve=evolve)
    await journal.load()
    await journal.take("t.1")
    await journal.decide(lambda state: (Began(state), f"trial {state} begins"))
    stray = user.author.envelope(AgentResumed("a", "i", "x"))
    subject = subjects.service_events("sweep", "lr")
    await user.bus.log.append(Entry(subject, wire.encode(stray), stray.id))

    await caught_up(user)

    async def asked(text: str) -> list[dict[str, Any]]:
        return [row async for row in user.rows(Sql(text))]

    async def both() -> list[dict[str, Any]] | None:
        # SQL is asked of a copy, which may be half a second old.
        rows = await asked("SELECT * EXCLUDE (seq, ts) FROM decisions ORDER BY seq")
        return rows if len(rows) == 2 else None

    found = await until(both)
    assert [(row["service"], row["name"], row["holder"], row["words"]) for row in found] == [
        ("sweep", "lr", "t.1", "attempt t.1 goes on"),
        ("sweep", "lr", "t.1", "trial 0 begins"),
    ]
    rows = await asked(
        "SELECT fact ->> '$.what' AS what, fact ->> '$.trial' AS trial FROM decisions ORDER BY seq"
    )
    assert rows[1] == {"what": "began", "trial": "0"}
    [dead] = await asked("FROM dead_letters")
    assert "no decision of a service" in dead["error"]
