"""What the pages of tasks make of what they are told: pure parts, without a browser."""

from __future__ import annotations

import math

import pytest

from evq.projector.parser import parse
from evq.projector.web.pages.task.ansi import bare, styled
from evq.projector.web.pages.task.moving import bar_of, last_state
from evq.projector.web.pages.tasks.rows import label, parts, sortable, spark
from evq.projector.web.pages.tasks.wanted import Wanted
from evq.projector.web.points import MOST, Curve, thinned


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain <b>", [("plain <b>", "")]),
        ("\x1b[31mred\x1b[0m x", [("red", "fg-red"), (" x", "")]),
        ("\x1b[1;92mok\x1b[22m.", [("ok", "bold fg-bright-green"), (".", "fg-bright-green")]),
        ("\x1b[38;5;196mx\x1b[39my", [("x", "fg-red"), ("y", "")]),
        ("\x1b[38;2;1;2;3mx", [("x", "")]),
        (
            "a\x1b[2Kb\x1b]0;title\x07c\x1b]8;;http://x\x1b\\d",
            [("a", ""), ("b", ""), ("c", ""), ("d", "")],
        ),
        ("\x1b[999999999999999999999mx", [("x", "")]),
        ("a\x00b\u202ec", [("abc", "")]),
        ("\x1b[", [("", "")]),
    ],
)
def test_colours_become_classes_and_nothing_else_is_done(
    text: str, shown: list[tuple[str, str]]
) -> None:
    assert styled(text) == shown
    assert bare(text) == "".join(words for words, _ in shown)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (" 10%|#  | 1/10 [00:01<00:09]", " 20%|## | 2/10 [00:02<00:08]", True),
        ("epoch 1: 10%|#  | 1/10", "epoch 2: 10%|#  | 1/10", False),
        ("12/100 [==>..] - loss: 1", "13/100 [==>..] - loss: 0.9", True),
        ("9it [00:01, 8.1it/s]", "12it [00:02, 8.0it/s]", True),
    ],
)
def test_states_of_one_bar_are_known(one: str, other: str, same: bool) -> None:
    assert bar_of(one) is not None
    assert (bar_of(one) == bar_of(other)) is same


@pytest.mark.parametrize("text", ["loss 0.5", "100% done with it", "step 3/10", "", "a | b"])
def test_other_lines_are_no_bars(text: str) -> None:
    assert bar_of(text) is None


def test_a_carriage_return_overwrites() -> None:
    assert last_state("a\rb\rlast\r") == "last"


def test_a_curve_is_thinned_without_losing_its_extremes() -> None:
    curve = Curve("loss")
    for at in range(3 * MOST):
        curve.add(at + 1, at, 100.0 if at == 7 else math.nan if at == 9 else at / 1e6)
    assert len(curve.points) <= MOST
    assert max(point.high or 0 for point in curve.points) == 100.0
    assert curve.last and curve.last.step == 3 * MOST - 1
    assert not curve.add(1, 0, 5.0), "what is known already is not told twice"
    assert thinned(curve.points[:3])[-1] == curve.points[2]


@pytest.mark.parametrize("query", ["train vit", "it", "100%", "résumé"])
def test_words_are_words(query: str) -> None:
    wanted = Wanted(query=query)
    assert (wanted.words, wanted.where()) == (query, "archived IS NULL")


def test_facets_and_a_condition_are_one_condition() -> None:
    wanted = Wanted(
        query="params.lr > 0.1 or name = 'params.lr'",
        facets={"state": ("failed",), "user": ("o'neil",), "tag": ("a", "b")},
    )
    assert parse(wanted.where())["type"] == "CONJUNCTION_AND"
    assert "'o''neil'" in wanted.where()
    assert "state" not in wanted.where(without="state")
    assert "try_cast(params->>'lr' AS DOUBLE) > 0.1" in wanted.sql()
    assert "name = 'params.lr'" in wanted.sql()
    assert wanted.command().startswith("evq sql ")


def test_a_simple_list_is_a_simple_command() -> None:
    wanted = Wanted(facets={"state": ("failed", "aborted"), "queue": ("gpu",)})
    assert wanted.command() == "evq ls -s failed -s aborted -q gpu"


def test_the_archive_is_left_out_unless_it_is_asked_for() -> None:
    assert Wanted(archived=True).where() == "archived IS NOT NULL"
    assert Wanted(archived=True).command() == "evq ls --archived"
    assert Wanted(query="archived > now()").where() == "(archived > now())"


def test_columns_have_names_of_users() -> None:
    assert parts("metrics.val/loss.min") == ("metrics", "val/loss", "min")
    assert parts("params.a.b") == ("params", "a.b", "last")
    assert label("metrics.val/loss.min") == "val/loss min"
    assert sortable('params.x"y') == 'params."x""y"'
    assert parse(sortable("metrics.a b.max"))["column_names"] == ["metrics", "a b", "max"]


def test_a_small_curve_needs_two_points() -> None:
    assert spark([1.0]) == "" == spark([None, 2.0])
    assert spark([0.0, None, 1.0]) == "0.0,15.0 60.0,1.0"
