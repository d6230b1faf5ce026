"""What docs/sweeps.md shows runs as it stands there, on an `evq up`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

import pytest
from reader import ROOT, Reader, blocks, reading

from evq.services.sweep.blocking import BlockingSweep
from evq.services.sweep.definition import Definition, read_definition
from evq.services.sweep.sweep import Sweep

DOCUMENT = "docs/sweeps.md"


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Somebody in the checkout."""
    home = tmp_path_factory.mktemp("sweeps")
    with reading(home, "--no-ui", "--slots", "4", work=ROOT) as one:
        yield one


def test_the_file_is_a_sweep() -> None:
    (text,) = blocks(DOCUMENT, "toml")
    name, definition = read_definition(text)
    assert (name, len(definition.space)) == ("lr-search", 4)


def test_every_field_is_in_a_table() -> None:
    fields = {name.replace("_", "-") for name in Definition.__struct_fields__}
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / DOCUMENT).read_text(), re.M)
    tabled = set(re.findall(r"`([\w-]+)`", " ".join(rows)))
    assert fields - {"space", "objective", "prune"} <= tabled
    assert tomllib.loads((ROOT / "examples" / "sweep.toml").read_text()).keys() <= fields | {"name"}


def test_both_sweeps_have_each_method() -> None:
    awaited = {name for name in vars(Sweep) if not name.startswith("_")} - {"create", "start"}
    assert awaited == {name for name in vars(BlockingSweep) if not name.startswith("_")}
    for name in awaited:
        assert getattr(BlockingSweep, name).__doc__ == getattr(Sweep, name).__doc__, name


@pytest.mark.timeout(240)
def test_the_program_finds_the_best(reader: Reader) -> None:
    program, asynchronous = blocks(DOCUMENT, "python")
    *words, best = reader.python(program).splitlines()
    assert len([one for one in words if re.match(r"trial \d+: ", one)]) == 12
    assert "all 12 trials are done; the best is trial" in words[-1]
    assert best.startswith("{'lr': ")
    command = reader.run("evq", "sweep", "best", "from-python", "--command")
    assert command.startswith("evq run --set lr=")
    assert command.endswith(" -q default curve.py -- --steps 20\n")
    assert "all 14 trials are done" in reader.python(asynchronous)


@pytest.mark.timeout(240)
def test_the_commands(reader: Reader) -> None:
    (script,) = blocks(DOCUMENT, "sh")
    up, _, commands = script.partition("\n")
    assert up == "uv run evq up -d --slots 4"
    said = reader.shell(commands)
    assert "evq run --set lr=" in said
    reader.run("evq", "sweep", "watch", "example")
    assert re.search(r"\b50 trials", reader.run("evq", "sweep", "show", "example"))
