"""Trackers of tasks in containers, which have a loopback and a file system of their own."""

from __future__ import annotations

import base64
import os

import pytest
from engine import WITH_PYTHON, needs_engine

from evq.core.events import Outcome
from evq.core.spec import Container

pytestmark = needs_engine()

# What MLflow's client sends; the client itself cannot be installed without a network.
SENDER = """
import json, os, urllib.request
point = {"run_id": os.environ["MLFLOW_RUN_ID"], "key": "loss", "value": 0.5, "step": 3}
request = urllib.request.Request(
    os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/log-metric",
    json.dumps(point).encode(),
    {"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"]},
)
print(urllib.request.urlopen(request).status)
"""
# A minimal event file: one record, whose checksums were made by tensorboardX.
WRITER = """
import base64, os
os.makedirs("runs/first")
with open("runs/first/events.out.tfevents.1.box", "wb") as file:
    file.write(base64.b64decode({data!r}))
"""


async def completed(queue, task):
    if task.state.outcome is not Outcome.COMPLETED:
        pytest.fail("\n".join([task.state.evidence, *await queue.lines(task.id)]))
    return task


async def test_a_client_in_a_container_without_a_network_reaches_its_agent(queue, start_agent):
    start_agent([queue]).ready()
    for _ in range(2):
        task = await queue.run("python3", "-c", SENDER, container=Container(WITH_PYTHON))
        await completed(queue, task)
        assert await queue.points(task.id) == [("loss", 3, 0.5)]


async def test_event_files_in_a_container(queue, start_agent, event_file):
    start_agent([queue]).ready()
    code = WRITER.format(data=event_file)
    task = await queue.run("python3", "-c", code, container=Container(WITH_PYTHON))
    await completed(queue, task)
    assert await queue.points(task.id) == [("loss", 1, 0.5)]


async def test_a_link_out_of_the_container_is_not_followed(
    queue, start_agent, event_file, tmp_path
):
    start_agent([queue]).ready()
    outside = tmp_path / "outside"
    outside.mkdir()
    secret = outside / "events.out.tfevents.1.box"
    secret.write_bytes(base64.b64decode(event_file))
    os.utime(secret, (2**32, 2**32))
    script = f"ln -s {outside} runs; sleep 1.5"
    task = await queue.run(
        "sh", "-c", script, container=Container(WITH_PYTHON), variables={"EVQ_LOGDIR": "runs"}
    )
    await completed(queue, task)
    assert await queue.points(task.id) == []
    (said,) = await queue.lines(task.id, "a")
    assert "leads out of" in said


async def test_a_link_in_the_place_of_the_tasks_folder_is_not_followed(
    queue, start_agent, event_file, tmp_path
):
    start_agent([queue]).ready()
    outside = tmp_path / "outside"
    outside.mkdir()
    secret = outside / "events.out.tfevents.1.box"
    secret.write_bytes(base64.b64decode(event_file))
    os.utime(secret, (2**32, 2**32))
    script = f'here=$(pwd); cd ..; mv "$here" away; ln -s {outside} "$here"'
    task = await queue.run("sh", "-c", script, container=Container(WITH_PYTHON))
    await completed(queue, task)
    assert await queue.points(task.id) == []
    (said,) = await queue.lines(task.id, "a")
    assert "a link leads out of" in said
