"""`evq sql`: parameters in all their spellings, queries by name, saved ones, charts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from evq.core.queries import Parameter, Query

OURS = Query(
    "waits",
    "SELECT $by",
    "How long tasks waited.",
    (
        Parameter("by", "queue|user", "what a row stands for", "queue"),
        Parameter("days", "amount", "how many days to look back", 7),
    ),
    "bar:name,count",
)
THEIRS = Query("mine", "SELECT $x", "", (Parameter("x", required=True),), by="bob@lab", at=5)
VERBS = Query("show", "SELECT 1")


def catalogue(*queries: Query) -> dict[str, list[dict[str, Any]]]:
    """What a projector answers to the question for all queries."""
    return {"catalogue": [{"query": msgspec.json.encode(query).decode()} for query in queries]}


ALL = catalogue(VERBS, OURS, THEIRS)


@pytest.mark.parametrize(
    "words",
    [
        ["@waits", "--by", "user", "--days", "30"],
        ["@waits", "by=user", "days=30"],
        ["--by=user", "--days", "30", "@waits"],
        ["@waits", "--param", "by=user", "days=30", "--csv"],
    ],
)
async def test_parameters_are_typed_like_options_or_by_name(
    evq: Any, projector: Any, words: list[str]
) -> None:
    async with projector({"waits": []}) as asked:
        await evq("sql", *words)
    assert (asked[0]["name"], asked[0]["params"]) == ("waits", {"by": "user", "days": "30"})


async def test_parameters_of_sql_and_of_names_with_dashes(evq: Any, projector: Any) -> None:
    async with projector({"sql": [], "cost": []}) as asked:
        await evq("sql", "select $gpu_hour, $n", "--gpu-hour", "-1.5", "n=a=b")
        await evq("sql", "@cost", "gpu-hour=2", "--json")
    assert asked[0]["params"] == {"gpu_hour": "-1.5", "n": "a=b"}
    assert asked[1]["params"] == {"gpu_hour": "2"}


async def test_the_list_has_what_people_ask(evq: Any, projector: Any) -> None:
    async with projector(ALL):
        listed = (await evq("sql", "--list")).out
        as_json = (await evq("sql", "--list", "--json")).json
    assert "@waits" in listed and "How long tasks waited." in listed
    assert "@mine" in listed and "bob@lab" in listed and "@show" not in listed
    assert [query["query"] for query in as_json] == ["waits", "mine"]
    assert as_json[0]["parameters"][1] == {
        "name": "days", "kind": "amount", "default": 7, "required": False,
        "meaning": "how many days to look back",
    }  # fmt: skip


@pytest.mark.parametrize("option", ["--help", "--describe"])
async def test_a_query_is_described(evq: Any, projector: Any, option: str) -> None:
    async with projector(ALL):
        said = (await evq("sql", "@waits", option)).out
        theirs = (await evq("sql", option, "@mine")).out
        missing = await evq("sql", "@nothing", option)
    assert said.startswith("@waits  How long tasks waited.\n")
    assert "queue|user" in said and "--plot draws bar:name,count" in said and "SELECT $by" in said
    assert "saved by bob@lab" in theirs and "must be given" in theirs
    assert missing.status == 4
    assert "Ask the database in SQL" in (await evq("sql", "--help")).out


async def test_a_chart_of_a_query_is_drawn_as_it_says(evq: Any, projector: Any) -> None:
    rows = [{"other": "x", "count": 7, "name": "gpu"}]
    async with projector({"waits": rows, **ALL}):
        as_said = (await evq("sql", "@waits", "--plot")).out.splitlines()
        otherwise = (await evq("sql", "@waits", "--plot", "bar:other,count")).out.splitlines()
        before = (await evq("sql", "--plot", "@waits")).out.splitlines()
        wrong = await evq("sql", "@waits", "--plot=pie")
    assert as_said[0] == "count by name" and as_said[1].startswith("gpu █")
    assert otherwise[0] == "count by other"
    assert before == as_said
    assert wrong.status == 2 and "'pie' is no chart" in wrong.err
    assert "Traceback" not in wrong.err


async def test_an_answer_that_cannot_be_drawn(evq: Any, projector: Any) -> None:
    async with projector({"sql": [{"name": "a"}]}):
        result = await evq("sql", "select 1", "--plot")
    assert (result.status, result.out) == (2, "")
    assert "there is nothing to draw" in result.err and "Task exception" not in result.err


async def test_saving_deleting_and_taking_back(evq: Any, projector: Any) -> None:
    async with projector({"sql": [{"name": "x"}, {"name": "y"}], **ALL}) as asked:
        saved = await evq("sql", "--save", "slow_ones", "select $x, $y", "y=3", "--about", "Slow")
        again = await evq("sql", "--save", "slow-ones", "select 2")
        ours = await evq("sql", "--save", "waits", "select 1")
        unknown = await evq("sql", "--save", "else", "select $x", "z=1")
        deleted = await evq("sql", "--delete", "slow-ones")
        gone = await evq("sql", "--delete", "slow-ones")
        back = await evq("sql", "--undo", "slow-ones")
    assert saved.out == "saved: evq sql @slow-ones x=… [y=3]\n"
    assert {"text": "select $x, $y", "only_names": True}.items() <= asked[1].items()
    assert again.status == 5 and "there is a query @slow-ones already" in again.err
    assert ours.status == 2 and "one of evq's own" in ours.err
    assert unknown.status == 2 and "has no parameter z" in unknown.err
    assert deleted.out.startswith("deleted: @slow-ones, which ")
    assert "evq sql --undo slow-ones" in deleted.err
    assert gone.status == 4
    assert back.out == "as it was: evq sql @slow-ones x=… [y=3]\n"


@pytest.mark.parametrize(
    "words",
    [
        ["@waits", "--by"],
        ["@waits", "user"],
        ["@waits", "=3"],
        ["select 1", "--describe"],
        ["--save", "x"],
        ["--save", "x", "@waits"],
        ["--save", "not a name", "select 1"],
    ],
)
async def test_what_cannot_be_meant(evq: Any, projector: Any, words: list[str]) -> None:
    async with projector({"sql": [], "waits": [], **ALL}):
        result = await evq("sql", *words)
    assert result.status == 2
    assert result.err.startswith("error[E01]") and "fix: " in result.err


def test_no_parameter_of_a_report_is_taken_for_an_option() -> None:
    from evq.cli.analytics.sql import sql
    from evq.cli.options import global_options
    from evq.projector.catalogue import reports

    options = {
        word.removeprefix("--")
        for option in (*sql.params, *global_options(hidden=True))
        for word in option.opts
    }
    taken = {
        parameter.name
        for queries in reports().values()
        for query in queries.values()
        for parameter in query.parameters
    }
    assert not taken & (options | {"help"})
