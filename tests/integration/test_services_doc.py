"""What the guides of pipelines, schedules, triggers and the autoscaler show runs as it stands
there, on an `evq up`. Others are held by tests of their own: sweeps by test_sweep_doc."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator

import pytest
from ports import kept_port
from reader import ROOT, Reader, blocks, reading

from evq.services.autoscaler.definition import read_definition

TRAIN = 'import argparse\nargparse.ArgumentParser().add_argument("--epochs")\nprint("trained")\n'

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Somebody with the examples of the checkout, and a `train.py`."""
    with reading(tmp_path_factory.mktemp("guides"), "--no-ui", "--slots", "4") as one:
        shutil.copytree(ROOT / "examples", one.work / "examples")
        (one.work / "train.py").write_text(TRAIN)
        yield one


def test_pipelines(reader: Reader) -> None:
    (script,) = blocks("docs/pipelines.md", "sh")
    (written, *_) = blocks("docs/pipelines.md", "toml")
    (reader.work / "examples" / "pipeline" / "pipeline.toml").write_text(written)
    reader.shell(script)
    runs = json.loads(reader.run("evq", "pipeline", "ls", "--json"))
    assert {one["run"]: one["state"] for one in runs} == {
        "line-1": "completed",
        "line-2": "completed",
    }
    second = json.loads(reader.run("evq", "pipeline", "show", "line", "--json"))
    assert all(step["cached"] == step["parts"] for step in second["steps"])


def test_a_pipeline_of_functions(reader: Reader) -> None:
    program = blocks("docs/pipelines.md", "python")[1]
    (reader.work / "slope.py").write_text(program)
    reader.run("evq", "pipeline", "run", "slope.py")
    (best,) = reader.rows("from tasks where name = 'slope best' and state = 'completed'")
    assert "result=0.3" in reader.run("evq", "show", best["task"])


def test_schedules(reader: Reader) -> None:
    script, asked = blocks("docs/schedules.md", "sh")
    up, _, commands = script.partition("\n")
    assert up == "evq up -d"
    reader.run("evq", "enqueue", "--set", "lr=0.3", "train.py")
    reader.shell(commands)
    (run,) = reader.rows("from tasks where list_contains(tags, 'schedule:nightly')")
    assert run["entry"] == "train.py --epochs 10"
    assert "is to run now" in reader.shell(asked)


def test_triggers(reader: Reader) -> None:
    script, _ = blocks("docs/triggers.md", "sh")
    with reader.running(sys.executable, str(ROOT / "examples" / "hook.py"), "0") as told:
        port = told.readline().split()[-1]
        reader.run("evq", "down")
        reader.shell(script.replace("9000", port))
        assert "This is a test." in told.readline()
        reader.run("evq", "enqueue", "--project", "vision", "--", "sh", "-c", "exit 3")
        assert "failed (exit status 3)" in told.readline()
    diverges = "import evq, time; evq.log({'loss': 500}); time.sleep(1000)"
    reader.run("evq", "enqueue", "--tag", "train", "-c", diverges)
    reader.rows("from tasks where state = 'aborted'")
    reader.run("evq", "enqueue", "--tag", "train", "--", "true")
    reader.rows("from tasks where state = 'completed' and list_contains(tags, 'trigger:eval')")


def test_signed_webhooks(reader: Reader) -> None:
    _, script = blocks("docs/triggers.md", "sh")
    (receiver,) = blocks("docs/triggers.md", "python")
    with kept_port() as number:
        port = str(number)
        (reader.work / "receiver.py").write_text(receiver.replace("9000", port))
        script = script.replace("9000", port).replace("agent-lost", "failed")
        reader.run("evq", "down")
        reader.shell(f'{script}\necho "$EVQ_SECRET_HOOK" > key')
        receive = "EVQ_SECRET_HOOK=$(cat key) exec python receiver.py"
        with reader.running("bash", "-c", receive) as told:
            reader.run("evq", "enqueue", "--project", "text", "--", "sh", "-c", "exit 3")
            assert "failed (exit status 3)" in told.readline()


def test_the_autoscaler(reader: Reader) -> None:
    cloud, here = blocks("docs/autoscaler.md", "toml"), blocks("docs/autoscaler.md", "sh")[-1]
    assert read_definition(cloud[0], "cloud.toml").kinds["gpu"].driver == "aws"
    reader.shell(here + "wait")
    tasks = reader.rows("select state, agent from tasks where queue = 'burst'")
    assert [task["state"] for task in tasks] == ["completed"] * 6
    assert 1 <= len({task["agent"] for task in tasks}) <= 3
