"""The pages of the dashboard: where each is, and what it asks when it is opened.

What a page asks is heard on the bus while a browser opens it, so that it is never written down here
and cannot be another thing than what pages really ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from big_history import Facts
from live_load import Running, read_running
from playwright.async_api import Page

from evq.core.questions import Named, Sql
from evq.core.sdk.client import Client
from evq.core.subjects import question
from evq.projector.store import Database, database_file

WORKER = "gpu-001"
OWN_QUERY = Sql("SELECT state, count(*) FROM tasks GROUP BY ALL")
SILENCE_SECONDS = 2.0
"""A page that has asked nothing for so long asks nothing more by itself."""

LATER = ("why", "ahead", "held")
"""Why tasks wait is found out one after the other, when the page is there, and for all pages."""

Questions = list[Named | Sql]


class Chosen(msgspec.Struct, frozen=True):
    """What the pages are opened for: a task of the usual size, and a hundred to compare."""

    running: list[Running]
    usual: str
    compared: list[str]


def choose(store: Path) -> Chosen:
    """Look into the database before a projector holds it."""
    database = Database(database_file(store))
    try:
        ended = [
            task
            for (task,) in database.rows(
                "SELECT task FROM _tasks WHERE state = 'completed' AND project = 'vision'"
                " ORDER BY origin DESC LIMIT 1000"
            )
        ]
        return Chosen(read_running(database), ended[0], ended[::10])
    finally:
        database.close()


def paths(facts: Facts, chosen: Chosen) -> dict[str, str]:
    """Where the pages are, by what is on them."""
    return {
        "workers and queues": "/",
        "… over 30 days": "/?hours=720",
        "a worker": f"/workers/{WORKER}",
        "… over 7 days": f"/workers/{WORKER}?hours=168",
        "a queue": "/queues/default",
        "… over 7 days, too": "/queues/default?hours=168",
        "tasks": "/tasks",
        "… the 1000th page": "/tasks?page=1000",
        "… failed ones of a user": "/tasks?state=failed&user=ada",
        "… with curves": "/tasks?cols=params.lr,metrics.train/loss",
        "a task": f"/tasks/{chosen.usual}",
        "… its curves": f"/tasks/{chosen.usual}?tab=curves",
        "… its events": f"/tasks/{chosen.usual}?tab=events",
        f"… curves of {facts.plan.longest:,} points": f"/tasks/{facts.longest}?tab=curves",
        f"compare {len(chosen.compared)}": "/compare?tasks=" + ",".join(chosen.compared),
        "services": "/services",
        "sql": "/sql",
    }


async def asked_by(client: Client, page: Page, address: str) -> Questions:
    """What is asked while a page is opened, in the order in which it is."""
    async with _hearing(client) as heard:
        await page.goto(address)
        known = -1
        while known < len(heard):
            known = len(heard)
            await asyncio.sleep(SILENCE_SECONDS)
        # What is asked again is no part of the first view, but of keeping it up to date.
        first = {msgspec.json.encode([_name(one), one.params]): one for one in reversed(heard)}
        return [one for one in reversed(first.values()) if _name(one) not in LATER]


def _name(question: Named | Sql) -> str:
    return question.name if isinstance(question, Named) else question.text


@asynccontextmanager
async def _hearing(client: Client) -> AsyncIterator[Questions]:
    heard: Questions = []

    async def keep(questions: AsyncIterator[bytes], kind: type[Named] | type[Sql]) -> None:
        async for one in questions:
            heard.append(msgspec.json.decode(one, type=kind))

    calls = client.bus.calls
    async with calls.listen(question("named")) as named, calls.listen(question("sql")) as own:
        keeping = [asyncio.create_task(keep(named, Named)), asyncio.create_task(keep(own, Sql))]
        yield heard
        for one in keeping:
            one.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)
