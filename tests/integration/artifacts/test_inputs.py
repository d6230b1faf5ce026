"""Artifacts that a task finds in its folder when it starts."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from evq.core.artifacts import NATS, Input
from evq.core.decide import Clean
from evq.core.events import Cause, Outcome
from evq.core.sdk.cleaning import Wish, clean_all, lying, remove
from evq.core.sdk.snapshot import take
from evq.core.spec import Script

SAVE = """
import evq, os
os.makedirs("out")
open("out/a", "w").write("a")
open("model.pt", "w").write("weights")
evq.save("out")
evq.save("model.pt")
"""


async def test_inputs_stand_in_the_folder(served: Any, plain_python: str) -> None:
    saved = await served.run(plain_python, "-c", SAVE)
    inputs = (Input(saved.id, "model.pt"), Input(saved.id, "out", "in/data"))
    for cached in (False, True):
        task = await served.run("cat", "model.pt", "in/data/a", inputs=inputs)
        assert "".join(await served.lines(task.id, "o")) == "weightsa"
        (phase,) = [one for one in task.attempts[0].phases if one.name == "inputs"]
        assert phase.detail.startswith("model.pt, out (")
        assert phase.cached is cached


async def test_beside_code(served: Any, send: Any, plain_python: str) -> None:
    saved = await served.run(plain_python, "-c", SAVE)
    code = await send({"main.sh": "cat in/model.pt"})
    inputs = (Input(saved.id, "model.pt", "in/model.pt"),)
    task = await served.run(entry=Script("main.sh"), code=code, inputs=inputs)
    assert await served.lines(task.id, "o") == ["weights"]


async def test_what_is_not_there(served: Any, plain_python: str) -> None:
    saved = await served.run(plain_python, "-c", SAVE)
    task = await served.run("true", inputs=(Input(saved.id, "absent"),))
    assert task.state.outcome is Outcome.FAILED and task.state.cause is Cause.SOURCE
    assert "has no artifact absent" in task.state.evidence
    assert any(f"--after {saved.id}" in line for line in await served.lines(task.id, "a"))


async def test_no_link_leads_out(served: Any, plain_python: str, tmp_path: Path) -> None:
    saved = await served.run(plain_python, "-c", SAVE)
    folder, outside = tmp_path / "project", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (folder / "main.sh").write_text("true")
    os.symlink(outside, folder / "data")
    subprocess.run(["git", "init", "-q", folder], check=True)
    with take(folder, None) as snapshot:
        for blob in snapshot.blobs:
            snapshot.write_bundle(blob, tmp_path / blob.name)
            await served.client.bus.objects.put(blob.name, tmp_path / blob.name)
    inputs = (Input(saved.id, "model.pt", "data/model.pt"),)
    task = await served.run(entry=Script("main.sh"), code=snapshot.code, inputs=inputs)
    assert task.state.outcome is Outcome.FAILED
    assert "leads out of the task's folder" in task.state.evidence
    assert os.listdir(outside) == []


async def test_a_damaged_copy_is_forgotten(served: Any, plain_python: str) -> None:
    saved = await served.run(plain_python, "-c", SAVE)
    inputs = (Input(saved.id, "model.pt"),)
    await served.run("true", inputs=inputs)
    digest = (await served.client.artifacts(saved.id))["model.pt"].digest
    copy = served.agent.folder / "cache" / "artifacts" / digest[:2] / digest
    copy.write_text("wEights")
    task = await served.run("cat", "model.pt", inputs=inputs, retries=1)
    assert [one.end.cause for one in task.attempts] == [Cause.SOURCE, None]
    assert await served.lines(task.id, "o") == ["weights"]


async def test_one_that_was_removed_meanwhile(served: Any, plain_python: str) -> None:
    """Its content is kept for those who waited for it; when it is gone, the reason is told."""
    client = served.client
    saved = await served.run(plain_python, "-c", SAVE)
    digest = (await client.artifacts(saved.id))["model.pt"].digest
    wish = Clean(what=("artifacts",), reason="it is old", before=2**60)
    assert await clean_all(client.bus, client.author, [Wish(saved.id, wish)])
    task = await served.run("cat", "model.pt", inputs=(Input(saved.id, "model.pt"),))
    assert await served.lines(task.id, "o") == ["weights"]
    (content,) = [one for one in await lying(client.bus, NATS) if one.digest == digest]
    assert await remove(client.bus, NATS, content)
    task = await served.run("cat", "model.pt", inputs=(Input(saved.id, "model.pt"),))
    assert task.state.cause is Cause.SOURCE
    assert "any more" in task.state.evidence and "it is old" in task.state.evidence
