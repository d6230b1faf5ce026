"""Reports as a whole: what stands at their heads, what they take, and that none stumbles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from small_history import GIB, SPEC, History, claimed, lost, retry, started, up

from evq.core.charts import chart_for
from evq.core.errors import NotFound, UsageError
from evq.core.events import Cause, Outcome
from evq.core.queries import Query, values_for
from evq.core.questions import Column, Named
from evq.projector.answers import parameters_for
from evq.projector.catalogue import questions, reports

ROOT = Path(__file__).parents[2]
REPORTS = {name: query for group in reports().values() for name, query in group.items()}
STRANGE = "Robert'); DROP TABLE _tasks; --"


def needed(query: Query) -> dict[str, Any]:
    """Some value for each parameter without which the report makes no sense."""
    return {one.name: "train" for one in query.parameters if one.required}


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[History]:
    made = History(tmp_path)
    yield made
    made.database.close()


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[History]:
    """Something of everything: what runs, waits, was lost, has strange names or nothing."""
    made = History(tmp_path)
    made.agent(0, up("w", "0", "1", memory=40 * GIB))
    made.agent(0, up("v"))
    made.runs("a" * 12, 10, 20, 60, gpus=("0",))
    made.runs("b" * 12, 10, 15, 30, Outcome.FAILED, Cause.CODE, gpus=("1",))
    strange = replace(SPEC, name=STRANGE, user="", project="", queue="r", gpus=1)
    made.enqueue(20, "c" * 12, strange)
    made.of("c" * 12, (30, claimed(1, "1", gpu_memory=10 * GIB)), (40, retry(1)))
    made.of("c" * 12, (50, claimed(2)), (60, lost(2)), (70, claimed(3)), (80, started(3)))
    made.enqueue(90, "d" * 12)
    made.project()
    yield made
    made.database.close()


def test_there_are_many_reports_and_each_says_what_it_is() -> None:
    assert len(REPORTS) >= 25
    for name, query in REPORTS.items():
        assert query.meaning.endswith(".") or query.meaning.endswith("`."), name
        assert all(one.meaning and one.kind for one in query.parameters), name
        assert query.is_listed
    assert not any(query.is_listed for name, query in questions().items() if name not in REPORTS)


def test_defaults_are_of_their_kind() -> None:
    for query in REPORTS.values():
        given = {one.name: one.default for one in query.parameters if one.default is not None}
        assert values_for(query, needed(query) | given)


@pytest.mark.parametrize("name", REPORTS)
def test_it_answers_with_nothing_there_and_its_chart_can_be_drawn(
    empty: History, name: str
) -> None:
    query = REPORTS[name]
    sql, given = parameters_for(Named(name, needed(query)))
    answer = empty.database.answer(sql, given)
    if query.chart:
        columns = [Column(*column) for column in answer.columns]
        assert chart_for(columns, query.chart).text == query.chart


@pytest.mark.parametrize("name", REPORTS)
def test_it_answers_whatever_it_is_asked_with(busy: History, name: str) -> None:
    query = REPORTS[name]
    choices = [[(one.name, word) for word in one.choices] for one in query.parameters]
    for choice in chain.from_iterable(choices):
        busy.ask(name, **needed(query) | dict([choice]))
    for one in query.parameters:
        if one.kind in ("amount", "count"):
            for value in ["7", 0.5, "0", 1e9] if one.kind == "amount" else ["3", 1, 1000]:
                busy.ask(name, **needed(query) | {one.name: value})
        elif one.kind == "text":
            busy.ask(name, **needed(query) | {one.name: STRANGE})


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
def test_no_answer_depends_on_the_zone_of_the_machine(busy: History, zone: str) -> None:
    def answers() -> dict[str, Any]:
        return {
            name: [
                {key: value for key, value in row.items() if not isinstance(value, float)}
                for row in busy.ask(name, **needed(query))
            ]
            for name, query in REPORTS.items()
            if name not in ("queue_depth",)  # its moments are counted from now
        }

    before = answers()
    busy.database.execute(f"SET TimeZone = '{zone}'")
    assert answers() == before


def test_one_may_ask_for_a_queue_a_user_or_a_project_wherever_that_makes_sense() -> None:
    parts = {"queue", "user", "project"}
    without = {
        name for name, query in REPORTS.items() if not parts & {p.name for p in query.parameters}
    }
    assert without == {
        "idle_while_waiting", "flaky_hosts", "gpu_overlaps", "energy", "worker_use", "availability",
        "agent_history", "utilisation", "machine_use", "interventions",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"by": "colour"}, "by is one of queue, user, project"),
        ({"days": "-3"}, "days is a number from 0 on, not -3"),
        ({"days": "many"}, "days is a number from 0 on, not many"),
        ({"days": "nan"}, "days is a number from 0 on, not nan"),
        ({"days": "1e300"}, "days is a number from 0 on, not 1e300"),
        ({"colour": "red"}, "it has no colour"),
    ],
)
def test_a_wrong_parameter_is_told_with_what_it_takes(given: dict[str, str], why: str) -> None:
    with pytest.raises(UsageError) as caught:
        parameters_for(Named("wait-percentiles", given))
    assert caught.value.why == why
    assert caught.value.fix == (
        "@wait-percentiles takes [by=queue] [days=7] [queue=…] [user=…] [project=…]"
    )


@pytest.mark.parametrize("limit", ["0", "2.5", "-1", ""])
def test_a_count_is_whole(limit: str) -> None:
    with pytest.raises(UsageError, match="limit is a whole number up to 100000"):
        parameters_for(Named("longest_holders", {"limit": limit}))


def test_a_parameter_without_which_it_makes_no_sense_is_missed() -> None:
    with pytest.raises(UsageError, match="name is missing"):
        parameters_for(Named("what-changed"))
    with pytest.raises(NotFound):
        parameters_for(Named("what-is-this"))


def test_null_is_a_parameter_that_nobody_gave() -> None:
    _, given = parameters_for(Named("wait-percentiles", {"days": None}))
    assert given == {"by": "queue", "days": 7, "queue": None, "user": None, "project": None}


def test_reports_ask_the_views_alone() -> None:
    """So that they can be asked of an export, too, which has nothing else."""
    for name, query in REPORTS.items():
        tables = re.findall(r"\b(?:FROM|JOIN) (_\w+)", query.text)
        assert not tables, name


def test_the_verbs_questions_are_documented() -> None:
    text = (ROOT / "docs" / "views.md").read_text("utf-8")
    found = re.findall(r"^\| `(\w+)\(([^)]*)\)` \|", text, re.MULTILINE)
    assert {name: arguments for name, arguments in found} == {
        name: ", ".join(one.name for one in query.parameters)
        for name, query in questions().items()
        if name not in REPORTS
    }
