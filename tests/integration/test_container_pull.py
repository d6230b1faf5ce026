"""Images pulled from a real registry, which listens on this machine."""

from __future__ import annotations

import asyncio
import io
import os
import secrets
import socket
import subprocess
import tarfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from docker.errors import ImageNotFound
from engine import BARE, client, needs_engine
from ports import kept_port
from wire import Wire

from evq.core.events import Cause, Outcome
from evq.core.spec import Command, Container

REGISTRY = Path(os.environ.get("EVQ_TEST_ENGINE", "/nowhere")) / "registry"

pytestmark = [
    needs_engine(),
    pytest.mark.skipif(not REGISTRY.exists(), reason="tests/engine.sh up brought no registry"),
]

MIB = 2**20
SETTINGS = """
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@pytest.fixture
async def registry(tmp_path, until) -> AsyncIterator[tuple[Wire, str]]:
    """A wire to an empty registry, and the address of its near end."""
    with kept_port() as port:
        settings = tmp_path / "registry.yml"
        settings.write_text(SETTINGS.format(folder=tmp_path / "registry", port=port))
        process = subprocess.Popen([REGISTRY, "serve", settings], stderr=subprocess.DEVNULL)

        def answers() -> bool:
            with socket.socket() as one:
                return one.connect_ex(("127.0.0.1", port)) == 0

        await until(answers)
        wire = Wire(port)
        yield wire, (await wire.open()).removeprefix("nats://")
        await wire.close()
        process.terminate()
        process.wait()


@pytest.fixture
async def image(registry: tuple[Wire, str]) -> AsyncIterator[str]:
    """The name of an image that only the registry has: a shell, and bytes that nobody has."""
    name = f"{registry[1]}/some/image"
    await asyncio.to_thread(push, name)
    yield name
    with suppress(ImageNotFound):  # a test need not have pulled it
        client().images.remove(f"{name}:1", force=True)


def push(name: str) -> None:
    """Make that image, and leave it in the registry alone."""
    engine = client()
    container = engine.containers.create(BARE, "true")
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        info = tarfile.TarInfo("opt/noise")
        info.size = 4 * MIB
        tar.addfile(info, io.BytesIO(secrets.token_bytes(info.size)))
    container.put_archive("/", data.getvalue())
    container.commit(name, "1")
    container.remove()
    pushed = engine.images.push(name, "1", stream=True, decode=True)
    assert not [word for word in pushed if "error" in word]
    engine.images.remove(f"{name}:1")


async def test_an_image_is_pulled_once_and_its_digest_recorded(queue, start_agent, registry, image):
    wire, _ = registry
    start_agent([queue]).ready()
    spec = {"entry": Command(("stat", "-c%s", "/opt/noise")), "container": Container(f"{image}:1")}
    # Of what comes at once, the engine may tell no more than that it is there.
    wire.allow(2 * MIB)
    first = await queue.enqueue(**spec)
    assert " of 4" in await queue.line(first, f"pulling {image}:1: ")
    wire.allow()
    cold, warm = await queue.ended(first), await queue.run(**spec)
    assert [cold.state.outcome, warm.state.outcome] == [Outcome.COMPLETED] * 2
    assert [task.attempts[0].phases[0].cached for task in (cold, warm)] == [False, True]
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
