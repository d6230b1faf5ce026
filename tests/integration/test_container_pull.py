"""Images pulled from a real registry, which listens on this machine."""

from __future__ import annotations

import io
import os
import secrets
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from docker.errors import ImageNotFound
from engine import BARE, client, needs_engine

from evq.core.events import Cause, Outcome
from evq.core.spec import Container

REGISTRY = Path(os.environ.get("EVQ_TEST_ENGINE", "/nowhere")) / "registry"

pytestmark = [
    needs_engine(),
    pytest.mark.skipif(not REGISTRY.exists(), reason="tests/engine.sh up brought no registry"),
]

SETTINGS = """
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
async def registry(tmp_path, until) -> Iterator[str]:
    """The address of an empty registry."""
    port = free_port()
    settings = tmp_path / "registry.yml"
    settings.write_text(SETTINGS.format(folder=tmp_path / "registry", port=port))
    process = subprocess.Popen([REGISTRY, "serve", settings], stderr=subprocess.DEVNULL)

    def answers() -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", port)) == 0

    await until(answers)
    yield f"127.0.0.1:{port}"
    process.terminate()
    process.wait()


@pytest.fixture
def image(registry: str) -> Iterator[str]:
    """The name of an image that only the registry has: a shell, and bytes that nobody has."""
    engine = client()
    name = f"{registry}/some/image"
    container = engine.containers.create(BARE, "true")
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        info = tarfile.TarInfo("opt/noise")
        info.size = 4 * 2**20
        tar.addfile(info, io.BytesIO(secrets.token_bytes(info.size)))
    container.put_archive("/", data.getvalue())
    container.commit(name, "1")
    container.remove()
    pushed = engine.images.push(name, "1", stream=True, decode=True)
    assert not [word for word in pushed if "error" in word]
    engine.images.remove(f"{name}:1")
    yield name
    with suppress(ImageNotFound):  # a test need not have pulled it
        engine.images.remove(f"{name}:1", force=True)


async def test_an_image_is_pulled_once_and_its_digest_recorded(queue, start_agent, image):
    start_agent([queue]).ready()
    wish = {"container": Container(f"{image}:1")}
    cold, warm = [await queue.run("stat", "-c%s", "/opt/noise", **wish) for _ in range(2)]
    assert [cold.state.outcome, warm.state.outcome] == [Outcome.COMPLETED] * 2
    assert [task.attempts[0].phases[0].cached for task in (cold, warm)] == [False, True]
    said = await queue.lines(cold.id, "s")
    assert any(line.startswith(f"pulling {image}:1: ") and " of 4" in line for line in said), said
    assert await queue.lines(warm.id, "s") == []
    digest = cold.attempts[0].environment.image
    assert digest.startswith(f"{image}@sha256:")
    by_digest = await queue.run("true", container=Container(digest))
    assert by_digest.attempts[0].environment.image == digest


async def test_a_tag_that_is_not_there(queue, start_agent, image):
    start_agent([queue]).ready()
    task = await queue.run("true", container=Container(f"{image}:2"))
    assert (task.state.outcome, task.state.cause) == (Outcome.FAILED, Cause.ENVIRONMENT)
    assert "manifest unknown" in task.state.evidence or "not found" in task.state.evidence
