"""A sweep as its author writes it, what is refused, and the grid of its space."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from evq.core.errors import UsageError
from evq.core.spec import Script, Spec
from evq.services.sweep.definition import (
    Choice,
    Definition,
    Integer,
    Median,
    Real,
    make_definition,
    read_definition,
)
from evq.services.sweep.grid import grid
from evq.services.sweep.trial import check_base

SPACE = {"lr": {"low": 1e-4, "high": 1.0, "log": True}, "width": {"low": 1, "high": 9}}
BASE = Spec(entry=Script("train.py", ("--lr", "0.1")), name="train", queue="gpu", tags=("mine",))


def definition(**more: Any) -> Definition:
    table = {"run": "train.py", "space": SPACE, "objective": {"metric": "loss"}, "trials": 10}
    return make_definition(table | more)


# --- the definition -------------------------------------------------------------------------------


def test_a_file_says_it_all() -> None:
    text = """
        name = "s"
        run = "train.py -- --epochs 3"
        timeout = "2h"
        objective = { metric = "acc", goal = "maximize", value = "max" }
        prune = "median"
        [space]
        optimizer = ["adam", "sgd"]
        [space.lr]
        low = 1e-4
        high = 1
        log = true
        [space.layers]
        low = 1
        high = 4
        when = { optimizer = "sgd" }
    """
    name, plan = read_definition(text)
    assert (name, plan.timeout, plan.prune) == ("s", 7200.0, Median())
    assert plan.space == {
        "optimizer": Choice(("adam", "sgd")),
        "lr": Real(1e-4, 1.0, log=True),
        "layers": Integer(1, 4, when={"optimizer": "sgd"}),
    }


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"space": {}}, "a sweep needs a space"),
        ({"objective": []}, "a sweep needs an objective"),
        ({"trials": None}, "the sweep would never end"),
        ({"trials": 0}, "trials is 1 to"),
        ({"sampler": "magic"}, "cannot be read"),
        ({"colour": "red"}, "cannot be read"),
        ({"space": {"lr": {"low": 1, "high": 2, "wide": True}}}, "cannot be read"),
        ({"space": {"lr": {"low": 2, "high": 1}}}, "lr has no values from 2 to 1"),
        ({"space": {"lr": {"low": 0.0, "high": 1.0, "log": True}}}, "lr cannot be logarithmic"),
        ({"space": {"lr": {"low": 1, "high": 9, "step": 2, "log": True}}}, "steps of 2"),
        ({"space": {"a": {"choices": []}}}, "a has no choices"),
        ({"space": {"a": [1, 1]}}, "a has one choice twice"),
        ({"space": {"a": {"choices": [1], "when": {"b": 1}}, "b": [1]}}, "not before it"),
        ({"space": {"b": [1], "a": {"choices": [1], "when": {"b": 2}}}}, "which it never is"),
        ({"sampler": "grid"}, "a grid cannot hold every value of lr"),
        ({"sampler": "grid", "space": {"a": {"low": 1, "high": 10**9}}}, "the grid has more than"),
        ({"sampler": "cma-es", "space": {"a": ["x"]}}, "needs a number"),
        ({"objective": [{"metric": "a"}, {"metric": "b"}], "prune": "asha"}, "cannot prune"),
        ({"prune": {"kind": "hyperband", "most": 0}}, "too small"),
        ({"timeout": "soon"}, "not a duration"),
    ],
)
def test_what_cannot_be_is_refused_in_words(change: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what) as refused:
        definition(**change)
    assert refused.value.fix


def test_no_toml() -> None:
    with pytest.raises(UsageError, match="is no TOML"):
        read_definition("name = ", "sweep.toml")


def test_every_parameter_must_fit_the_task() -> None:
    check_base(BASE, definition())
    with pytest.raises(UsageError, match="lr cannot be 'high'"):
        check_base(BASE, definition(space={"lr": ["high", "low"]}))
    with pytest.raises(UsageError, match="cannot be made of this task"):
        check_base(replace(BASE, nodes=2), definition())


# --- the grid -------------------------------------------------------------------------------------


def test_a_grid_has_each_combination_once() -> None:
    space = {
        "kind": Choice(("adam", "sgd")),
        "momentum": Real(0.0, 0.3, step=0.1, when={"kind": "sgd"}),
        "width": Integer(1, 5, step=2),
    }
    found = grid(space)
    assert len(found) == 3 + 4 * 3
    assert found[0] == {"kind": "adam", "width": 1}
    assert found[-1] == {"kind": "sgd", "momentum": 0.3, "width": 5}
    assert len({repr(one) for one in found}) == len(found)
