"""Old samples keep working: each release's recorded messages give the rows they gave then.

The files are frozen. `python tests/golden/test_golden_samples.py VERSION` records those of a new
release beside them and refuses to touch one that is there.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from sampled import sample, stored

from evq.core import wire
from evq.core.fleet.samples import Machine, Sample
from evq.core.ports import Stored
from evq.core.subjects import SAMPLES_STREAM
from evq.projector.samples.columns import KINDS
from evq.projector.samples.record import sort_samples
from evq.projector.samples.write import write_samples
from evq.projector.store import Database
from evq.projector.values import plain

FOLDER = Path(__file__).parent
RECORDED = sorted(FOLDER.glob("*.samples.json"))


class Message(msgspec.Struct):
    """A stored message. `data` is text, so that its bytes stay what they were."""

    seq: int
    subject: str
    data: str


def read(path: Path) -> list[Stored]:
    found = msgspec.json.decode(path.read_bytes(), type=list[Message])
    return [Stored(one.seq, one.subject, one.data.encode()) for one in found]


def rows_of(messages: list[Stored]) -> dict[str, list[dict[str, Any]]]:
    """What the tables hold after these messages, as JSON has it."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / "golden.duckdb")
        try:
            database.start(SAMPLES_STREAM, "then")
            with database.transaction():
                write_samples(database, sort_samples(messages, 0))
            found = {}
            for kind in KINDS:
                answer = database.answer(f"FROM {kind.name}_samples ORDER BY ALL", {})
                names = [name for name, _ in answer.columns]
                found[kind.name] = [
                    dict(zip(names, map(plain, row), strict=True)) for row in answer.rows
                ]
        finally:
            database.close()
    return found


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name)
def test_old_samples_give_the_rows_that_they_gave(path: Path) -> None:
    expected = msgspec.json.decode(path.with_suffix(".rows.json").read_bytes())
    found = rows_of(read(path))
    assert found.keys() >= expected.keys()
    for kind, rows in expected.items():
        for row, wanted in zip(found[kind], rows, strict=True):
            # A column that came later is not in the file.
            assert {name: row[name] for name in wanted} == wanted


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name)
def test_old_samples_can_be_read(path: Path) -> None:
    messages = read(path)
    assert all(isinstance(wire.decode_sample(one.data), Sample) for one in messages)


def test_there_are_samples_of_the_first_release() -> None:
    assert FOLDER / "0.1.0.samples.json" in RECORDED


def write(version: str) -> None:
    """Record this release's. Raises `FileExistsError`: a golden file never changes."""
    plainly = sample(1, agent="b", gpus=None, processes=None, shares=None, trouble="no driver")
    bare = sample(2, agent="c", machine=Machine(), cores=(), gpus=None, processes=None, shares=None)
    messages = [stored(seq, one) for seq, one in enumerate((sample(), plainly, bare), 1)]
    path = FOLDER / f"{version}.samples.json"
    lines = [Message(one.seq, one.subject, one.data.decode()) for one in messages]
    for file, content in ((path, lines), (path.with_suffix(".rows.json"), rows_of(messages))):
        with file.open("xb") as opened:
            opened.write(msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")


if __name__ == "__main__":
    write(sys.argv[1])
