"""Queries by name, on a real projector: evq's own, and those that users save."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest

from evq.core.errors import Conflict, NotFound, QueryFailed, UsageError
from evq.core.questions import Named, Sql
from evq.core.sdk.author import Author
from evq.core.sdk.client import Client
from evq.core.sdk.saved import (
    all_queries,
    delete_query,
    find_query,
    restore_query,
    save_query,
)

OF_USER = 'SELECT task, state FROM tasks WHERE "user" = $who AND priority >= $least'


async def of_sql(client: Client, text: str) -> list[dict[str, Any]]:
    return [row async for row in client.rows(Sql(text))]


async def test_a_query_is_saved_for_everybody(
    projector: Any, user: Any, bus: Any, until: Any
) -> None:
    await projector.start()
    receipt = await user.add()
    saved, before = await save_query(
        user, "of_user", OF_USER, {"least": 0}, meaning="Tasks of a user", chart="bar:task,least"
    )
    assert before is None and saved.usage == "@of-user who=… [least=0]"
    other = Client(bus, Author("bob"))
    [listed] = [query for query in await all_queries(other) if query.by]
    assert listed == saved and listed.meaning == "Tasks of a user" and listed.by == user.author.by
    for name in ("of-user", "of_user"):
        rows = [row async for row in other.rows(Named(name, {"who": "ada"}))]
        assert rows == [{"task": receipt.task, "state": "queued"}]
    assert [row async for row in other.rows(Named("of-user", {"who": "ada", "least": "9"}))] == []
    # SQL is asked of a copy, which may be half a second old.
    [row] = await until(lambda: of_sql(other, "FROM saved_queries"))
    assert (row["query"], row["parameters"], row["by"]) == ("of-user", ["who", "least"], listed.by)
    with pytest.raises(UsageError, match="who is missing"):
        await user.ask("of-user")
    with pytest.raises(UsageError, match="least is a number, not many"):
        await user.ask("of-user", who="ada", least="many")


async def test_nothing_is_overwritten_by_mistake_and_all_can_be_taken_back(
    projector: Any, user: Any
) -> None:
    await projector.start()
    await save_query(user, "mine", "SELECT 1 AS x")
    with pytest.raises(Conflict, match="there is a query @mine already"):
        await save_query(user, "mine", "SELECT 2 AS x")
    _, before = await save_query(user, "mine", "SELECT 2 AS x", replace=True)
    assert before and before.text == "SELECT 1 AS x"
    assert await user.ask("mine") == [{"x": 2}]
    assert (await restore_query(user, "mine") or before).text == "SELECT 1 AS x"
    assert await user.ask("mine") == [{"x": 1}]
    await delete_query(user, "mine", "not any more")
    with pytest.raises(NotFound, match="there is no query @mine"):
        await user.ask("mine")
    with pytest.raises(NotFound):
        await delete_query(user, "mine")
    assert await restore_query(user, "mine")
    assert await user.ask("mine") == [{"x": 1}]
    assert await restore_query(user, "mine") is None  # and that taken back, too
    kinds = [event["kind"] for event in await user.ask("events")]
    assert kinds == ["query_saved"] * 3 + ["query_deleted", "query_saved", "query_deleted"]


async def test_of_two_that_save_at_once_one_wins(projector: Any, user: Any, bus: Any) -> None:
    await projector.start()
    made = [
        save_query(Client(bus, Author(name)), "ours", f"SELECT '{name}' AS who")
        for name in ("ann", "bob")
    ]
    results = await asyncio.gather(*made, return_exceptions=True)
    assert sum(isinstance(result, Conflict) for result in results) == 1
    [row] = await user.ask("ours")
    assert row["who"] in ("ann", "bob")


@pytest.mark.parametrize("name", ["wait-percentiles", "@wait_percentiles", "tasks", "show"])
async def test_evq_s_own_names_are_taken(projector: Any, user: Any, name: str) -> None:
    await projector.start()
    with pytest.raises(UsageError, match="one of evq's own"):
        await save_query(user, name, "SELECT 1", replace=True)
    assert (await find_query(user, name)).by == ""
    with pytest.raises(NotFound):
        await delete_query(user, name)


@pytest.mark.parametrize(
    "text",
    [
        "SELEC 1",
        "DROP TABLE _tasks",
        "SELECT 1; SELECT 2",
        "",
        "COPY tasks TO '/tmp/x'",
        "SET memory_limit = '9GB'",
    ],
)
async def test_what_is_no_query_is_not_saved(projector: Any, user: Any, text: str) -> None:
    await projector.start()
    with pytest.raises(QueryFailed):
        await save_query(user, "bad", text)
    assert [query for query in await all_queries(user) if query.by] == []


async def test_a_saved_query_is_no_book(user: Any) -> None:
    with pytest.raises(UsageError, match="too long"):
        await save_query(user, "book", "SELECT 1 -- " + "x" * 100_000)


async def test_a_saved_query_has_no_more_rights_than_any_other(projector: Any, user: Any) -> None:
    await projector.start()
    for text in ("SELECT * FROM read_text('/etc/passwd')", "SELECT $path AS p, * FROM glob($path)"):
        await save_query(user, "sly", text, replace=True)
        with pytest.raises(QueryFailed):
            await user.ask("sly", **({"path": "/etc/*"} if "$path" in text else {}))


async def test_parameters_of_a_query_as_it_is_typed(projector: Any, user: Any) -> None:
    await projector.start()
    assert await user.sql("SELECT $a::INT + 1, '$b', $c", params={"a": "4", "c": "x"}) == [
        [5, "$b", "x"]
    ]
    # Also where times with a zone are turned into such without one.
    [[text, time]] = await user.sql("SELECT $a, now()", params={"a": "'; --"})
    assert text == "'; --" and time.endswith("Z")
    with pytest.raises(QueryFailed, match="a is missing and it has no \\$b"):
        await user.sql("SELECT $a", params={"b": 1})
    with pytest.raises(UsageError, match="has no parameter b"):
        await save_query(user, "mine", "SELECT $a", {"b": 1})


async def test_reports_are_asked_like_any_question(projector: Any, user: Any) -> None:
    receipt = await user.add()
    await user.live(receipt.task)
    await projector.start()
    [row] = await user.ask("wait-percentiles", by="user", days="30")
    assert (row["name"], row["waits"]) == ("ada", 1)
    with pytest.raises(UsageError) as caught:
        await user.ask("wait-percentiles", by="colour")
    assert caught.value.fix.startswith("@wait-percentiles takes [by=queue]")
    with pytest.raises(NotFound) as missing:
        await user.ask("wait-percentils")
    assert "@wait-percentiles" in missing.value.why


async def test_saved_queries_survive_a_rebuild_and_are_verified(projector: Any, user: Any) -> None:
    await projector.start()
    await save_query(user, "kept", "SELECT 7 AS x")
    await save_query(user, "gone", "SELECT 8 AS x")
    await delete_query(user, "gone")
    assert projector.end(signal.SIGTERM) == 0
    assert await projector.run("--rebuild") == 0
    assert await projector.run("--verify") == 0, projector.said
    await projector.start()
    assert await user.ask("kept") == [{"x": 7}]
    assert [query.name for query in await all_queries(user) if query.by] == ["kept"]
    assert projector.end(signal.SIGTERM) == 0
    database = projector.database()
    database.execute("DELETE FROM _saved_queries")
    database.close()
    assert await projector.run("--verify") == 1
    assert "query kept: it is not what the log says" in projector.said
