"""What differs between specs, whoever shows it."""

from __future__ import annotations

from typing import Any

from evq.core.differences import Row, asked, rows
from evq.core.spec import Script, Spec
from evq.core.words.masking import MASK


def differing(*specs: Spec) -> dict[tuple[str, str], tuple[Any, ...]]:
    found = rows([asked(spec) for spec in specs])
    return {(row.part, row.name): row.values for row in found if row.differs}


def spec(*args: str, path: str = "train.py", **more: Any) -> Spec:
    script = Script(path, args)
    return Spec(queue="q", name=more.pop("name", " ".join((path, *args))), entry=script, **more)


def test_a_parameter_that_differs_says_what_the_command_would() -> None:
    first, second = spec("--lr", "0.1"), spec("--lr", "0.2")
    assert differing(first, second) == {("parameter", "lr"): (0.1, 0.2)}
    assert differing(first, spec("--lr", "0.2", path="eval.py")) == {
        ("command", "command"): ("train.py --lr 0.1", "eval.py --lr 0.2"),
        ("parameter", "lr"): (0.1, 0.2),
    }
    assert differing(first, spec("--lr", "0.1", name="best")) == {
        ("option", "name"): (None, "best")
    }


def test_one_is_not_true() -> None:
    assert differing(spec("--n", "1"), spec("--n", "true")) == {("parameter", "n"): (1, True)}


def test_a_secret_is_told_to_differ_and_not_told() -> None:
    found = rows(
        [asked(spec(variables={"HF_TOKEN": value, "A": "1"})) for value in ("x", "y", "y")]
    )
    assert Row("variable", "HF_TOKEN", (MASK, MASK, MASK), True) in found
    assert Row("variable", "A", ("1", "1", "1"), False) in found
