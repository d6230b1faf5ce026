"""docs/python.md says what there is, and its examples run as they stand there."""

from __future__ import annotations

import ast
import inspect
import re
import typing
from collections.abc import Iterator

import pytest
from reader import ROOT, Reader, blocks, reading

import evq
from evq.core.sdk.blocking import BlockingClient
from evq.core.sdk.client import Client
from evq.core.sdk.request import Options
from evq.core.spec import Spec

DOCUMENT = (ROOT / "docs" / "python.md").read_text()
EXAMPLES = blocks("docs/python.md", "python")
METHODS = {
    name: method
    for name, method in vars(Client).items()
    if inspect.isfunction(method) and not name.startswith("_")
}
TRAIN = """\
import argparse, evq
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
lr = parser.parse_args().lr
for step in range(3):
    evq.log({"loss": lr / (step + 1)}, step=step)
"""


def table(title: str) -> list[tuple[str, str]]:
    """The rows of the table under a heading."""
    text = DOCUMENT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| (`.+?) \| (.+) \|$", text, re.M)


def test_the_public_names_are_those_of_the_document() -> None:
    named = [name for names, _ in table("Names") for name in re.findall(r"`(\w+)`", names)]
    assert sorted(named) == evq.__all__
    assert all(getattr(evq, name) is not None for name in named)


def test_what_type_checkers_read_is_what_there_is() -> None:
    tree = ast.parse((ROOT / "__init__.py").read_text())
    told = {
        (node.module, name.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level == 0
        for name in node.names
        if name.asname == name.name
    }
    assert told == {(f"evq.{place}", name) for name, place in evq._FOUND.items()}


def test_every_method_is_in_the_table_with_its_first_sentence() -> None:
    def sentence(name: str) -> str:
        text = inspect.getdoc(METHODS[name]) or ""
        return " ".join(text.partition("\n\n")[0].split()).partition(". ")[0].rstrip(".")

    assert table("Methods") == [(f"`{name}`", sentence(name)) for name in METHODS]


@pytest.mark.parametrize("name", METHODS)
def test_both_clients_have_each_method(name: str) -> None:
    door = getattr(BlockingClient, name)
    assert (door.__doc__, door.__name__) == (METHODS[name].__doc__, name)


def test_the_options_of_submit_are_the_fields_of_a_spec() -> None:
    fields = typing.get_type_hints(Spec)
    apart = {"entry", "code", "params", "gang", "array", "fair", "parent", "user", "host"}
    options = typing.get_type_hints(Options)
    assert options.keys() == fields.keys() - apart
    for name, kind in options.items():
        assert fields[name] in (kind, kind | None), name


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Somebody beside a `train.py`."""
    with reading(tmp_path_factory.mktemp("guide"), "--no-ui") as one:
        (one.work / "train.py").write_text(TRAIN)
        yield one


def test_the_examples_run_in_their_order(reader: Reader) -> None:
    training, hello, submitted, keyed, looked, watched, changed = (
        reader.python(example) for example in EXAMPLES
    )
    assert [line.split()[-2] for line in training.splitlines()] == ["completed"] * 2
    assert hello == "hello\n"
    assert "--lr', '0.2'" in submitted
    assert keyed == "True False\n"
    assert "loss [0, 1, 2]" in looked and "completed 0" in looked
    assert watched.splitlines()[0].endswith("Enqueued")
    assert watched.splitlines()[-1].endswith("Finished")
    assert changed == ""


def test_import_evq_loads_nothing_that_it_does_not_need(reader: Reader) -> None:
    loaded = reader.python("import sys, evq; evq.log; print(*sys.modules)").split()
    assert not {"msgspec", "asyncio", "nats", "anyio", "click", "evq.core.spec"} & set(loaded)
