"""Parameters: read from every way to write one, rewritten where they stand, refused in words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evq.core.arguments import read as read_arguments
from evq.core.arguments import replaced, written
from evq.core.errors import UsageError
from evq.core.parameters import add, knows, override, read, typed, values
from evq.core.spec import Command, Entry, Module, Script, Spec


def spec(*args: str, entry: Entry | None = None, **more: Any) -> Spec:
    return Spec(entry=entry or Script("train.py", args), name="train", queue="q", **more)


def args_of(changed: Spec) -> tuple[str, ...]:
    assert isinstance(changed.entry, Script | Module)
    return changed.entry.args


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("--lr 0.1", {"lr": 0.1}),
        ("--lr=1e-3", {"lr": 1e-3}),
        ("--learning-rate 1", {"learning_rate": 1}),
        ("-x 3", {"x": 3}),
        ("-x3", {"x": 3}),
        ("-lr 0.1", {"lr": 0.1}),
        ("--shift -3 -2.5", {"shift": (-3, -2.5)}),
        ("--amp --lr 1", {"amp": True, "lr": 1}),
        ("--no-amp", {"amp": False}),
        ("--amp=False", {"amp": False}),
        ("--layers 1 2 3 data.csv", {"layers": (1, 2, 3)}),
        ("--config a.yaml --lr 1", {"config": "a.yaml", "lr": 1}),
        ("--model.lr 0.1", {"model.lr": 0.1}),
        ("--tag a --tag b", {"tag": ("a", "b")}),
        ("lr=0.1 +a.b=c ++d=[1,2] ~x db/mysql=big", {"lr": 0.1, "a.b": "c", "d": (1, 2), "x": None,
                                                     "db/mysql": "big"}),
        ("-m lr=0.1", {"m": True, "lr": 0.1}),
        ("-- --lr 3", {"lr": 3}),
        ("data.csv s3://bucket/a=b 12 -", {}),
        ("--run 007 --version 1.2.3", {"run": "007", "version": "1.2.3"}),
    ],
)  # fmt: skip
def test_every_way_to_write_a_parameter(words: str, found: dict[str, Any]) -> None:
    assert values(spec(*words.split())) == found


def test_where_each_stands() -> None:
    task = spec("--lr", "0.1", "a.b=c", params={"k": "1"}, variables={"SEED": "x"})
    assert [(one.name, one.where, one.type) for one in read(task)] == [
        ("lr", "option", "float"),
        ("a.b", "positional-key", "text"),
        ("k", "param", "int"),
        ("SEED", "environment", "text"),
    ]
    assert "SEED" not in values(task)


@pytest.mark.parametrize(
    ("argv", "found"),
    [
        ("python -u train.py --lr 1", {"lr": 1}),
        ("/usr/bin/python3.12 -m pkg.train --lr 1", {"lr": 1}),
        ("torchrun --nproc_per_node 2 train.py --lr 1", {"nproc_per_node": 2, "lr": 1}),
        ("make CC=gcc", {"CC": "gcc"}),
        ("--lr 3", {}),
    ],
)
def test_what_names_the_program_is_no_parameter(argv: str, found: dict[str, Any]) -> None:
    assert values(spec(entry=Command(tuple(argv.split())))) == found


@pytest.mark.parametrize(
    ("before", "name", "text", "after"),
    [
        ("a --lr 0.1 b", "lr", "0.2", "a --lr 0.2 b"),
        ("--lr=0.1 b", "lr", "1e-4", "--lr=1e-4 b"),
        ("--lr 0.1", "lr", "1", "--lr 1.0"),
        ("--learning-rate 1", "learning_rate", "2", "--learning-rate 2"),
        ("--learning_rate 1", "learning-rate", "2", "--learning_rate 2"),
        ("--n 3", "n", "-4", "--n -4"),
        ("--mode fast --x", "mode", "-slow", "--mode=-slow --x"),
        ("-x 3", "x", "4", "-x 4"),
        ("-x3", "x", "4", "-x4"),
        ("--amp x=1", "amp", "true", "--amp x=1"),
        ("--lr 1 --amp", "amp", "false", "--lr 1"),
        ("--no-amp", "amp", "true", "--amp"),
        ("--no-amp", "amp", "false", "--no-amp"),
        ("--no-amp", "no-amp", "false", "--amp"),
        ("--amp=True", "amp", "no", "--amp=False"),
        ("--amp true", "amp", "false", "--amp false"),
        ("--layers 1 2 3", "layers", "4 5", "--layers 4 5"),
        ("--layers 1 2 3 --b 1", "layers", "[7,8,9,10]", "--layers 7 8 9 10 --b 1"),
        ("--layers 1 2 3", "layers", "9", "--layers 9"),
        ("--rates 1 0.5", "rates", "1,2", "--rates 1.0 2.0"),
        ("--names a b", "names", "[c]", "--names c"),
        ("--tag a --x 1 --tag b", "tag", "c d e", "--tag c --x 1 --tag d --tag e"),
        ("--tag a --x 1 --tag b", "tag", "c", "--tag c --x 1"),
        ("lr=0.1 x", "lr", "0.2", "lr=0.2 x"),
        ("+a.b=c", "a.b", "d", "+a.b=d"),
        ("layers=[1,2]", "layers", "[3]", "layers=[3]"),
        ("~x", "x", "3", "x=3"),
    ],
)
def test_a_value_is_replaced_where_it_stands(before: str, name: str, text: str, after: str) -> None:
    assert args_of(override(spec(*before.split()), {name: text})) == tuple(after.split())


def test_the_environment_and_our_own_parameters_are_rewritten_too() -> None:
    task = spec(params={"k": "1"}, variables={"SEED": "3", "MODE": "a"})
    changed = override(task, {"k": "2", "SEED": "4", "MODE": "b"})
    assert (changed.params, changed.variables) == ({"k": "2"}, {"SEED": "4", "MODE": "b"})
    assert changed.entry == task.entry


def test_the_command_line_goes_before_the_rest() -> None:
    task = spec("--seed", "1", params={"seed": "2"}, variables={"seed": "3"})
    changed = override(task, {"seed": "9"})
    assert args_of(changed) == ("--seed", "9")
    assert (changed.params, changed.variables) == (task.params, task.variables)


@pytest.mark.parametrize(
    ("before", "name", "text", "what"),
    [
        ("--lr 0.1", "lr", "abc", "lr cannot be 'abc'"),
        ("--epochs 3", "epochs", "2.5", "epochs cannot be '2.5'"),
        ("--epochs 3", "epochs", "true", "epochs cannot be 'true'"),
        ("--amp", "amp", "maybe", "amp cannot be 'maybe'"),
        ("--amp=true", "amp", "3", "amp cannot be '3'"),
        ("--layers 1 2", "layers", "3 x", "layers cannot be 'x'"),
        ("x=[1,2]", "x", "[a]", "x cannot be 'a'"),
        ("--names a b", "names", "c", "not clear which word"),
        ("--amp data.csv", "amp", "false", "not clear what amp=false"),
    ],
)
def test_another_type_is_refused_unless_forced(
    before: str, name: str, text: str, what: str
) -> None:
    with pytest.raises(UsageError, match=what) as caught:
        override(spec(*before.split()), {name: text})
    assert caught.value.fix
    if "which word" not in what:
        assert text.split()[-1].strip("[]") in str(
            override(spec(*before.split()), {name: text}, force=True).entry
        )


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UsageError, match="did you mean 'learning_rate'") as caught:
        override(spec("--learning-rate", "1"), {"learning-rat": "2"})
    assert caught.value.why == "the task was started with learning_rate"
    assert "--add learning-rat=2" in caught.value.fix
    with pytest.raises(UsageError, match="no parameter 'lr'"):
        override(spec(), {"lr": "2"})


def test_known_names() -> None:
    task = spec("--lr", "1", "--no-amp", variables={"A": "1"})
    assert [knows(task, name) for name in ("lr", "amp", "no-amp", "A", "x")] == [True] * 4 + [False]


@pytest.mark.parametrize(
    ("before", "word", "after"),
    [
        ("", "lr=1", "--lr 1"),
        ("--a 1", "lr=1", "--a 1 --lr 1"),
        ("--a=1", "lr=1", "--a=1 --lr=1"),
        ("--a 1", "amp=true", "--a 1 --amp"),
        ("--a 1", "mode=-x", "--a 1 --mode=-x"),
        ("a.b=1", "lr=1", "a.b=1 lr=1"),
        ("a.b=1", "+c=2", "a.b=1 +c=2"),
        ("a.b=1", "~c", "a.b=1 ~c"),
        ("a=1", "--lr=2", "a=1 --lr=2"),
    ],
)
def test_a_parameter_is_added_in_the_style_of_the_others(
    before: str, word: str, after: str
) -> None:
    assert args_of(add(spec(*before.split()), word)) == tuple(after.split())


def test_what_cannot_be_added() -> None:
    assert add(spec("--a", "1", params={"k": "1"}), "b=2").params == {"k": "1", "b": "2"}
    with pytest.raises(UsageError, match="already"):
        add(spec("--lr", "1"), "lr=2")
    with pytest.raises(UsageError, match="adds nothing"):
        add(spec(), "lr")


def test_texts_as_values() -> None:
    written = ("3", "-0.5", "True", "[1, a]", "x", "nan", "1e999", "9" * 30, "[[1]]", "", "0")
    assert [typed(one) for one in written] == [
        3, -0.5, True, (1, "a"), "x", "nan", "1e999", "9" * 30, "[[1]]", "", 0,
    ]  # fmt: skip


WORDS = st.one_of(
    st.sampled_from(["--lr", "--amp", "-x", "--", "~z", "a=1", "+b.c=d", "--k=v", "-3", "1e5"]),
    st.text(max_size=8),
)


@given(st.lists(WORDS, max_size=12))
def test_any_command_line_can_be_read_and_written_as_it_was(words: list[str]) -> None:
    values(spec(*words))
    found = read_arguments(words)
    for one in found:
        if one.form in ("apart", "joined", "key"):
            assert replaced(words, [one], [written(one, one.values)]) == tuple(words)


@given(st.lists(WORDS, max_size=12), st.sampled_from(["0.5", "7", "q", "true"]))
def test_nothing_but_the_parameter_is_touched(words: list[str], text: str) -> None:
    task = spec(*words)
    for one in read(task):
        try:
            changed = args_of(override(task, {one.name: text}, force=True))
        except UsageError:
            continue
        same = [a for a in read_arguments(words) if a.name == one.name]
        first, last = same[0].start, same[-1].stop
        assert changed[:first] == tuple(words[:first])
        assert changed[len(changed) - (len(words) - last) :] == tuple(words[last:])
