"""Charts: which one an answer gets, and that a terminal can show it."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from evq.cli import output
from evq.cli.analytics.plot import draw
from evq.core.charts import Chart, chart_for, parse_chart
from evq.core.errors import UsageError
from evq.core.questions import Column

TIME, QUEUE = Column("ts", "TIMESTAMP"), Column("queue", "VARCHAR")
DEPTH, RUN = Column("depth", "BIGINT"), Column("run", "DOUBLE")
DAY = [f"2026-05-01T{hour:02}:00:00.000000Z" for hour in range(24)]


@pytest.mark.parametrize(
    ("columns", "wish", "text"),
    [
        ([TIME, DEPTH], "", "line:ts,depth"),
        ([QUEUE, TIME, RUN, DEPTH], "auto", "line:ts,run:queue"),
        ([DEPTH, QUEUE], "", "bar:queue,depth"),
        ([DEPTH, RUN], "", "scatter:depth,run"),
        ([DEPTH, RUN], "line", "line:depth,run"),
        ([TIME, DEPTH, RUN], "scatter:run,depth,run", "scatter:run,depth,run"),
        ([Column("d", "DATE"), Column("n", "DECIMAL(18,3)")], "", "line:d,n"),
        ([Column("l", "INTEGER[]"), Column("h", "HUGEINT"), QUEUE], "", "bar:queue,h"),
    ],
)
def test_the_chart_of_an_answer(columns: list[Column], wish: str, text: str) -> None:
    assert chart_for(columns, wish).text == text


@pytest.mark.parametrize(
    ("columns", "wish", "words"),
    [
        ([QUEUE], "", "nothing to draw"),
        ([DEPTH], "", "nothing to draw"),
        ([], "", "nothing to draw"),
        ([QUEUE, DEPTH], "pie", "no chart"),
        ([QUEUE, DEPTH], "bar:queue", "no chart"),
        ([QUEUE, DEPTH], "bar:queue,", "no chart"),
        ([QUEUE, DEPTH], "bar:queue,width", "no column width"),
        ([QUEUE, DEPTH], "bar:queue,depth:user", "no column user"),
        ([QUEUE, DEPTH], "bar:depth,queue", "cannot be drawn"),
    ],
)
def test_what_cannot_be_drawn(columns: list[Column], wish: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        chart_for(columns, wish)


def test_a_chart_is_read_as_it_is_written() -> None:
    chart = Chart("line", "ts", ("depth", "run"), "queue")
    assert parse_chart(chart.text) == chart


def lines_of(chart: str, columns: list[Column], rows: Any, **how: Any) -> list[str]:
    return draw(parse_chart(chart), columns, rows, colors=how.get("colors", False)).splitlines()


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of 80 columns that shows all there is."""
    monkeypatch.setattr(output, "terminal_width", lambda: 80)
    monkeypatch.setattr(output, "can_print", lambda text: True)


def test_bars_have_lengths_and_values() -> None:
    rows = [["gpu", 40, None], ["cpu", 10, 20.5], [None, 0, 1]]
    drawn = lines_of("bar:queue,depth,run", [QUEUE, DEPTH, RUN], rows)
    assert drawn[0] == "depth, run by queue"
    assert all(len(line) <= 80 for line in drawn)
    gpu, _, cpu, run = drawn[1:5]
    assert gpu.startswith("gpu depth ") and gpu.endswith(" 40")
    assert gpu.count("█") == pytest.approx(4 * cpu.count("█"), abs=4)
    assert run.endswith(" 20.5")


def test_many_bars_are_cut_and_names_are_no_markup() -> None:
    rows = [[f"[red]queue\n{number}", number] for number in range(100)]
    drawn = lines_of("bar:queue,depth", [QUEUE, DEPTH], rows)
    assert drawn[-1] == "… and 60 more"
    assert drawn[1].startswith("[red]queue 0")


def test_bars_below_zero_go_the_other_way() -> None:
    drawn = lines_of("bar:queue,run", [QUEUE, RUN], [["up", 10.0], ["down", -10.0]])
    up, down = drawn[1:]
    assert up.index("█") > 40 > down.index("█")


def test_lines_over_time_have_readable_times() -> None:
    rows = [[ts, number] for number, ts in enumerate(DAY)]
    drawn = lines_of("line:ts,depth", [TIME, DEPTH], rows)
    assert drawn[0] == "depth over ts (UTC)"
    assert drawn[-1].split() == ["00:00", "05:45", "11:30", "17:15", "23:00"]
    assert all(len(line) <= 80 for line in drawn)
    assert "\x1b" not in "".join(drawn)


@pytest.mark.parametrize(
    ("days", "label"),
    [(0.001, "12:00:00"), (0.9, "12:00"), (3, "05-01 12:00"), (30, "05-01"), (900, "2026-05-01")],
)
def test_times_are_written_as_the_span_needs(days: float, label: str) -> None:
    from evq.cli.analytics.plot import _time_ticks

    noon = 1_777_636_800.0
    places, labels = _time_ticks(noon, noon + days * 86_400)
    assert places[0] == noon and labels[0].startswith(label)


def test_lines_are_told_apart_without_colours() -> None:
    rows = [[ts, queue, n * (1 + (queue == "b"))] for n, ts in enumerate(DAY) for queue in "ab"]
    drawn = lines_of("line:ts,depth:queue", [TIME, QUEUE, DEPTH], rows)
    assert drawn[0] == "depth over ts (UTC): a a  b b"
    body = "".join(drawn[1:])
    assert "a" in body and "b" in body
    assert "\x1b[" in "".join(lines_of("line:ts,depth", [TIME, DEPTH], [[DAY[0], 1]], colors=True))


def test_what_is_no_number_is_left_out() -> None:
    rows = [[DAY[0], 1.0], [DAY[1], None], [None, 2.0], [DAY[2], "nan"], [DAY[3], "inf"]]
    assert len(lines_of("line:ts,run", [TIME, RUN], rows)) > 10
    [said] = lines_of("line:ts,run", [TIME, RUN], [[None, None]])
    assert said == "nothing to draw: no row has both ts and run"


def test_a_long_line_is_thinned_and_keeps_its_peaks() -> None:
    rows = [[number, 0.0] for number in range(100_000)]
    rows[54_321][1] = 9.0
    drawn = lines_of("line:depth,run", [DEPTH, RUN], rows)
    assert any("9" in line.split("┤")[0] for line in drawn if "┤" in line)


@pytest.mark.parametrize("chart", ["line:ts,depth", "scatter:ts,depth", "bar:ts,depth"])
def test_a_plain_terminal_gets_plain_characters(
    monkeypatch: pytest.MonkeyPatch, chart: str
) -> None:
    monkeypatch.setattr(output, "can_print", lambda text: text.isascii())
    rows = [[ts, number] for number, ts in enumerate(DAY)]
    drawn = lines_of(chart, [TIME, DEPTH], rows)
    assert "\n".join(drawn).isascii()
    assert "*" in "".join(drawn) or "#" in "".join(drawn)


def test_nothing_is_loaded_before_something_is_drawn() -> None:
    import subprocess

    script = "import evq.cli.analytics.sql, sys; print('plotext' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert said.stdout.strip() == "False", said.stderr
