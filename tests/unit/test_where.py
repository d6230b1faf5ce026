"""Conditions of users: what they mean, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from evq.core.errors import UsageError
from evq.projector.listing import composed
from evq.projector.store import Database
from evq.projector.where import COLUMNS, where

_TASKS = """
INSERT INTO _tasks (origin, task, name, queue, state, priority, "user", tags, params, attempts,
    enqueued, cause)
VALUES
    (1, 'aaaaaaaaaaaa', 'train.py', 'gpu', 'completed', 0, 'tim', ['paper'], '{"lr": 0.1}', 1,
        TIMESTAMP '2026-05-01', NULL),
    (2, 'bbbbbbbbbbbb', 'train.py', 'gpu', 'failed', 5, 'ada', [], '{"lr": "1e-3"}', 3,
        TIMESTAMP '2026-05-02', 'code'),
    (3, 'cccccccccccc', 'it''s; --', 'cpu', 'queued', 0, 'tim', ['x', 'paper'], '{}', 0,
        TIMESTAMP '2026-05-03', NULL);
INSERT INTO _metric_latest (claim, task, name, place, value, first, min, max, n)
VALUES (10, 'aaaaaaaaaaaa', 'val/loss', 1, 0.5, 0.9, 0.2, 0.9, 9),
    (11, 'bbbbbbbbbbbb', 'val/loss', 2, 3.0, 4.0, 3.0, 4.0, 9);
"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A database with three tasks."""
    made = Database(tmp_path / "evq.duckdb")
    made.execute(_TASKS)
    yield made
    made.close()


def found(database: Database, text: str, words: str = "") -> str:
    """The first letters of the tasks that are found."""
    sql, values = composed(
        "SELECT task FROM tasks WHERE {where} ORDER BY origin", {"where": text, "words": words}
    )
    return "".join(row[0][0] for row in database.rows(sql, values))


@pytest.mark.parametrize(
    ("text", "tasks"),
    [
        ("", "abc"),
        ("true", "abc"),
        ("state = 'failed'", "b"),
        ("tasks.state = 'failed'", "b"),
        ("STATE IN ('failed', 'queued') AND NOT queue LIKE 'c%'", "b"),
        ("queue not in ('gpu')", "c"),
        ("params.lr > 0.01", "a"),
        ("params.lr * 2 between 0.001 and 0.01", "b"),
        ("params->>'lr' = '1e-3'", "b"),
        ("params.lr is null", "c"),
        ('metrics."val/loss" < 1', "a"),
        ('metrics."val/loss".max >= 4 or metrics."val/loss".min < 0.3', "ab"),
        ("'paper' in tags", "ac"),
        ("tags && ['x']", "c"),
        ("tags[1] = 'paper'", "a"),
        ("enqueued >= timestamp '2026-05-02' - interval 12 hours", "bc"),
        ("enqueued > now() - interval '3 hours'", ""),
        ("name = 'it''s; --'", "c"),
        ("name ~ 'train.*'", "ab"),
        ("name ilike 'TRAIN%' and -priority > -5", "a"),
        ("coalesce(cause, 'none') <> 'none'", "b"),
        ("case when priority > 1 then true else attempts::INT = 0 end", "bc"),
        ("cause is not distinct from null", "ac"),
        ("extract(day from enqueued) = 3", "c"),
        ("true) or (true", "abc"),
        ("1=1) window w as (partition by 1", "abc"),
        ("name = '\x00'", ""),
    ],
)
def test_a_condition_finds_what_it_says(database: Database, text: str, tasks: str) -> None:
    assert found(database, text) == tasks


@pytest.mark.parametrize(
    ("words", "tasks"),
    [
        ("train", "ab"),
        ("TRAIN tim", "a"),
        ("it's", "c"),
        ("%", ""),
        ("'; drop table", ""),
        (" ", "abc"),
    ],
)
def test_words_are_searched_as_they_are(database: Database, words: str, tasks: str) -> None:
    assert found(database, "", words) == tasks


@pytest.mark.parametrize(
    "text",
    [
        "1=1) union select ('x'",
        "1=1); delete from _tasks; select (1",
        "1=1) order by (1",
        "1=1) limit (0",
        "1=1\n) GROUP BY ALL HAVING (true",
        "exists (select 1)",
        "task in (select task from _events)",
        "'x' = any(select 1)",
        "'x' = any(tags)",
        "(select count(*) from _logs) > 0",
        "read_text('/etc/passwd') is not null",
        "getenv('HOME') = 'x'",
        "current_setting('x') = 'y'",
        "query('select 1') = 1",
        "name = repeat('x', 1000000000)",
        "name = rpad('x', 1000000000, 'y')",
        "len(range(1000000000)) > 1",
        "replace(replace(name, 'a', 'bb'), 'b', 'cc') = 'x'",
        "list_transform(tags, lambda x: x) = []",
        "list_transform(tags, x -> x) = []",
        "sum(priority) > 1",
        "row_number() over () = 1",
        "unnest(tags) = 'x'",
        "abs(distinct priority) = 1",
        "pg_catalog.abs(1) = 1",
        "main.lower(name) = 'x'",
        "_tasks.fold is not null",
        "fold is not null",
        "other.name = 'x'",
        "name collate nocase = 'x'",
        "name = $1",
        "name = ?",
        "#1 = 1",
        "*",
        "columns('x') = 1",
        "{'a': 1}.a = 1",
        "name::STRUCT(a INT) is null",
        "(name, queue) = ('a', 'b')",
        "sleep(1) = 1",
        "nextval('x') = 1",
        "name = 'x",
        "name = 'x' and",
        "; select 1",
        "state = failed",
        "params.a.b.c = 1",
        "metrics.a.b.c = 1",
        "not " * 300 + "true",
        "1" + "+1" * 300 + " = 1",
        "name = '" + "x" * 3000 + "'",
        " or ".join(f"metrics.m{number} > 1" for number in range(20)),
        "name = '\ud800'",
    ],
)
def test_whatever_else_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(UsageError) as refusal:
        where(text)
    assert refusal.value.what == "this condition cannot be used"
    assert len(refusal.value.why.splitlines()) == 1


def test_nothing_of_the_text_is_in_the_query() -> None:
    clause = where("name = 'Robert''); DROP TABLE x; --' and params.\"k'); --\" = 'y'")
    assert "DROP" not in clause.sql
    assert "--" not in clause.sql
    assert set(clause.values.values()) == {"Robert'); DROP TABLE x; --", "k'); --", "y"}


def test_the_columns_are_those_of_the_view(database: Database) -> None:
    assert {row[0] for row in database.rows("DESCRIBE tasks")} == COLUMNS


@pytest.mark.parametrize(
    ("sort", "tasks"),
    [
        ("enqueued", "abc"),
        ("-enqueued", "cba"),
        ("params.lr", "bac"),
        ("-params.lr", "abc"),
        ('-metrics."val/loss".max', "bac"),
        ("name", "cab"),
    ],
)
def test_tasks_are_sorted_by_any_column(database: Database, sort: str, tasks: str) -> None:
    sql, values = composed("SELECT task FROM tasks ORDER BY {sort}", {"sort": sort})
    assert "".join(row[0][0] for row in database.rows(sql, values)) == tasks


@pytest.mark.parametrize("sort", ["1", "lower(name)", "name, queue", "name) --", "", "-"])
def test_tasks_are_sorted_by_columns_alone(sort: str) -> None:
    with pytest.raises(UsageError):
        composed("SELECT task FROM tasks ORDER BY {sort}", {"sort": sort})


def test_tasks_are_counted_by_a_facet(database: Database) -> None:
    sql, _ = composed("SELECT {facet} AS value FROM tasks", {"facet": "tag"})
    assert sorted(row[0] for row in database.rows(sql)) == ["paper", "paper", "x"]
    with pytest.raises(UsageError, match="cannot be counted by"):
        composed("SELECT {facet}", {"facet": "fold"})
