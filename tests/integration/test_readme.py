"""What README.md shows runs as it stands there, on an `evq up`, and does what it promises."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import pytest
from reader import ROOT, Reader, blocks, reading

README = (ROOT / "README.md").read_text()
SHELL = blocks("README.md", "sh")
TRAIN, PROGRAM = blocks("README.md", "python")

pytestmark = pytest.mark.timeout(300)


def the(words: str) -> str:
    """The one block of shell with these words."""
    (block,) = (block for block in SHELL if words in block)
    return block


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Somebody with an experiment of their own, which is the script in the document."""
    home = tmp_path_factory.mktemp("home")
    with reading(home, "--slots", "4", work=home / "my-experiment") as one:
        (one.work / "train.py").write_text(TRAIN)
        yield one


def test_your_own_code(reader: Reader) -> None:
    up, *rest = the("evq show @").splitlines(keepends=True)
    assert up.startswith("uv run evq up -d ")
    said = reader.shell("".join(rest))
    assert "completed" in said and "train.py --lr 0.1" in said and "loss" in said


def test_the_program(reader: Reader) -> None:
    reader.python(PROGRAM)
    runs = reader.rows("select state, params->>'lr' as lr from tasks order by origin desc limit 2")
    assert [(run["state"], run["lr"]) for run in runs] == [
        ("completed", "0.1"),
        ("completed", "0.01"),
    ]


def test_a_sweep(reader: Reader) -> None:
    said = reader.shell(the("evq sweep run"))
    assert re.search(r"evq run --set lr=0\.\d+ train\.py", said), said
    of = "from tasks where state = 'completed' and list_contains(tags, 'sweep:rates')"
    assert reader.rows(f"select count(*) as trials {of} having trials = 12")


def test_a_pipeline(reader: Reader) -> None:
    said = reader.shell(the("evq pipeline run"))
    assert "squares-1" in said and "completed" in said, said
    (total,) = reader.rows("from tasks where name = 'squares total'")
    assert "result=55" in reader.run("evq", "show", total["task"])


def test_a_schedule_and_a_trigger(reader: Reader) -> None:
    reader.shell(the("evq schedule add"))
    of = "from tasks where state = 'completed' and list_contains(tags, '{}')"
    (nightly,) = reader.rows(of.format("schedule:nightly"))
    (told,) = reader.rows(of.format("trigger:next"))
    assert f"task {nightly['task']} " in reader.run("evq", "logs", told["task"])


def test_an_autoscaler(reader: Reader) -> None:
    # In the last line is what somebody does in the end.
    reader.shell(the("evq autoscaler run") + "evq wait @; evq autoscaler stop here; wait")
    of = "from tasks where queue = 'burst' and state = 'completed' having count(*) = 6"
    (all_of_them,) = reader.rows(f"select count(distinct agent) as agents {of}")
    assert 1 <= all_of_them["agents"] <= 3


def test_an_alert(reader: Reader) -> None:
    with reader.running(sys.executable, str(ROOT / "examples" / "hook.py"), "0") as said:
        port = said.readline().split()[-1]
        reader.shell(the("evq alert add").replace("9000", port))
        assert "out of memory" in said.readline()


SERVICES = ("sweep", "pipeline", "schedule", "trigger", "alert", "autoscaler")


def test_what_they_decided_is_in_the_log(reader: Reader) -> None:
    (asked,) = re.findall(r'`evq sql "(select ts, service.*?)"`', README)
    assert {row["service"] for row in reader.rows(asked)} >= {*SERVICES}
