"""Event files of a task, by real writers: their scalars are the task's own metrics."""

from __future__ import annotations

import base64
import subprocess
import sys

from evq.core.events import Remarks
from evq.core.sdk.snapshot import take

ONE_FOLDER = """
import math
from tensorboardX import SummaryWriter
with SummaryWriter() as writer:
    for step in range(4):
        writer.add_scalar("train/loss", 1 / 2**step, step, walltime=1e9 + step)
    writer.add_scalar("nan", math.nan, 7)
    writer.add_histogram("h", [1, 2, 3], 1)
    writer.add_text("t", "text", 1)
"""
SEVERAL = """
from tensorboardX import SummaryWriter
with SummaryWriter("runs/a") as a, SummaryWriter("runs/b") as b:
    a.add_scalar("loss", 1, 0)
    b.add_scalar("loss", 2, 0)
    a.add_scalars("both", {"x": 3}, 0)
    a.add_hparams({"lr": 0.5, "name": "ä", "flag": True}, {"final": 4})
"""
# TensorBoard's own writer, in folders as Keras' callback has them.
SPLITS = """
from tensorboard.summary import Writer
for split, value in (("validation", 2), ("train", 1)):
    writer = Writer(f"logs/{split}")
    writer.add_scalar("epoch_loss", value, 5)
    writer.close()
"""


async def test_scalars_of_a_short_task(served):
    task = await served.run(sys.executable, "-c", ONE_FOLDER)
    assert await served.points(task.id) == [
        *(("train/loss", step, 1 / 2**step) for step in range(4)),
        ("nan", 7, "nan"),
    ]
    (record,) = [
        one for one in await served.records(task.id) if one.__struct_config__.tag == "metric"
    ]
    assert record.at[:2] == (10**15, 10**15 + 10**6)


async def test_further_folders_and_hyperparameters(served):
    task = await served.run(sys.executable, "-c", SEVERAL)
    points = sorted(await served.points(task.id))
    assert points == [
        ("b/loss", 0, 2.0), ("both/x/both", 0, 3.0), ("final", 0, 4.0), ("loss", 0, 1.0),
    ]  # fmt: skip
    (said,) = [one for one in await served.records(task.id) if isinstance(one, Remarks)]
    assert said.params == {"lr": "0.5", "name": "ä", "flag": "True"}


async def test_tensors_of_two_splits(served):
    task = await served.run(sys.executable, "-c", SPLITS)
    points = sorted(await served.points(task.id))
    assert points == [("train/epoch_loss", 5, 1.0), ("validation/epoch_loss", 5, 2.0)]


async def test_a_file_is_read_while_it_grows(served, gates):
    first, second = gates(2)
    code = f"""
import subprocess
from tensorboard.summary import Writer
writer = Writer("runs")
for step, wait in enumerate(({first.wait!r}, {second.wait!r})):
    writer.add_scalar("loss", step, step)
    writer.flush()
    subprocess.run(["sh", "-c", wait])
"""
    id = await served.enqueue(sys.executable, "-c", code)
    for step, gate in enumerate((first, second)):
        await gate.reached()
        await said(served, id, step + 1)
        gate.open()
    await served.ended(id)
    assert await served.points(id) == [("loss", 0, 0.0), ("loss", 1, 1.0)]


async def said(queue, task, count):
    """Return when there are so many points of the task."""
    telemetry = queue.client.bus.telemetry
    async with telemetry.follow(1, [queue._telemetry(task)]) as batches:
        async for _ in batches:
            if len(await queue.points(task)) >= count:
                return


async def test_what_came_with_the_code_is_not_the_tasks(served, tmp_path, client, event_file):
    project = tmp_path / "project"
    (project / "runs/old").mkdir(parents=True)
    (project / "runs/old/events.out.tfevents.1.box").write_bytes(base64.b64decode(event_file))
    subprocess.run(["git", "init", "-q", project], check=True)
    with take(project, None) as snapshot:
        for blob in snapshot.blobs:
            snapshot.write_bundle(blob, tmp_path / blob.name)
            await client.bus.objects.put(blob.name, tmp_path / blob.name)
    task = await served.run("ls", "runs/old", code=snapshot.code)
    assert await served.lines(task.id, "o") == ["events.out.tfevents.1.box"]
    assert await served.points(task.id) == []


async def test_an_old_file_is_not_read(served, event_file):
    script = f"""
mkdir runs && echo {event_file} | base64 -d > old
touch -d 2020-01-01 old && mv old runs/events.out.tfevents.1.box
"""
    task = await served.run("sh", "-c", script)
    assert await served.points(task.id) == []


async def test_a_folder_elsewhere_that_is_named(served, tmp_path, event_file):
    (tmp_path / "elsewhere/a").mkdir(parents=True)
    script = f"mkdir runs; for to in runs {tmp_path}/elsewhere/a; do "
    script += f"echo {event_file} | base64 -d > $to/events.out.tfevents.1.box; done"
    where = f"{tmp_path}/elsewhere:{tmp_path}/elsewhere/a:{tmp_path}/nowhere"
    task = await served.run("sh", "-c", script, variables={"EVQ_LOGDIR": where})
    assert await served.points(task.id) == [("a/loss", 1, 0.5)]


async def test_a_damaged_file_is_read_up_to_there_and_told(served, event_file):
    good = base64.b64decode(event_file)
    bad = base64.b64encode(good + b"\0" * 16 + good).decode()
    script = f"mkdir runs && echo {bad} | base64 -d > runs/events.out.tfevents.1.box"
    task = await served.run("sh", "-c", script)
    assert await served.points(task.id) == [("loss", 1, 0.5)]
    (line,) = await served.lines(task.id, "a")
    assert line == (
        f"runs/events.out.tfevents.1.box is not read any further: it is damaged at byte {len(good)}"
    )


async def test_the_last_points_of_a_task_that_is_killed(served, event_file):
    script = f"mkdir runs && echo {event_file} | base64 -d > runs/events.out.tfevents.1.box; "
    task = await served.run("sh", "-c", script + "exec kill -9 $$", keep=0)
    assert task.name_of_state == "failed"
    assert await served.points(task.id) == [("loss", 1, 0.5)]


async def test_the_last_points_of_a_task_that_is_ended(served, event_file, gate):
    script = f"mkdir runs && echo {event_file} | base64 -d > runs/events.out.tfevents.1.box; "
    task = await served.enqueue("sh", "-c", script + gate.wait, keep=0)
    await gate.reached()
    await served.client.abort(task)
    assert (await served.ended(task)).name_of_state == "aborted"
    assert await served.points(task) == [("loss", 1, 0.5)]


async def test_strange_files_harm_nobody(served, event_file):
    code = f"""
import os, base64
os.makedirs("runs/" + "deep/" * 50)
os.mkfifo("runs/events.out.tfevents.pipe")
os.symlink("/dev/zero", "runs/events.out.tfevents.zero")
os.makedirs("runs/events.out.tfevents.folder")
open(b"runs/events.out.tfevents.\\xff", "wb").write(base64.b64decode({event_file!r}))
open("runs/events.out.tfevents.noise", "wb").write(os.urandom(100_000))
os.symlink("..", "runs/up")
"""
    task = await served.run(sys.executable, "-c", code)
    assert task.name_of_state == "completed"
    assert await served.points(task.id) == [("loss", 1, 0.5)]
    (line,) = await served.lines(task.id, "a")
    assert "noise is not read any further" in line


async def test_a_task_can_choose_not_to_be_read(served, event_file):
    script = f"mkdir runs && echo {event_file} | base64 -d > runs/events.out.tfevents.1.box"
    task = await served.run("sh", "-c", script, variables={"EVQ_TRACKERS": "mlflow"})
    assert await served.points(task.id) == []


async def test_many_points_arrive_in_order(served):
    code = """
from tensorboardX import SummaryWriter
with SummaryWriter(max_queue=10_000) as writer:
    for step in range(20_000):
        writer.add_scalar("loss", step, step)
"""
    task = await served.run(sys.executable, "-c", code)
    points = await served.points(task.id)
    assert points == [("loss", step, float(step)) for step in range(20_000)]


async def test_an_attempt_that_was_lost_does_not_count_twice(queue, start_agent, event_file, gate):
    agent = start_agent([queue], "--lease", "1").ready()
    script = f"mkdir runs && echo {event_file} | base64 -d > runs/events.out.tfevents.1.box; "
    script += f'[ "$EVQ_ATTEMPT" = 2 ] || {gate.wait}'
    task = await queue.enqueue("sh", "-c", script)
    await gate.reached()
    await said(queue, task, 1)
    agent.process.kill()
    agent.process.wait()
    start_agent([queue], name=agent.name).ready()
    done = await queue.ended(task)
    assert [attempt.number for attempt in done.attempts] == [1, 2]
    records = [one for one in await queue.records(task) if one.__struct_config__.tag == "metric"]
    assert [(one.attempt, one.name) for one in records] == [(1, ("loss",)), (2, ("loss",))]
