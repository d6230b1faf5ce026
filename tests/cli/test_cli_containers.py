"""A task in a container, from the command line: another image, a shell inside, an image of it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import docker
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from engine import BARE, WITH_PYTHON, client, needs_engine

from evq.core.handle import find
from evq.core.spec import Container

pytestmark = needs_engine()

SCRIPT = """
import os, sys
import evq
print(sys.argv[1:], evq.params, os.environ["MODE"], os.getcwd())
sys.exit(int(sys.argv[-1]))
"""


@pytest.fixture
async def served(evq: Any, tmp_path: Path) -> AsyncIterator[Any]:
    """The command line, beside an agent that serves its queue."""
    evq.env |= {"EVQ_STATE_DIR": str(tmp_path / "state"), "EVQ_CACHE_DIR": str(tmp_path / "cache")}
    evq.env |= {"UV_PYTHON_DOWNLOADS": "never"}
    async with evq.start("agent", "--grace", "1s") as agent:
        yield evq
        agent.terminate()
        await agent.wait()


async def test_another_image(evq: Any, bus: Any) -> None:
    words = ("--docker", "a:1", "--docker-arg=--shm-size=1g", "--", "true")
    source = (await evq("enqueue", "--quiet", *words)).out.strip()
    for changes, wanted in (
        (["--docker", "b:2"], Container("b:2", ("--shm-size=1g",))),
        (["--docker-arg=--shm-size=2g"], Container("a:1", ("--shm-size=2g",))),
        (["--docker", "none"], None),
    ):
        made = await evq("clone", source, "--quiet", *changes)
        assert made.status == 0, made.err
        assert (await find(bus.log, made.out.strip())).spec.container == wanted
    assert (await evq("clone", "@", "--docker-arg=--shm-size=2g")).status == 2


@pytest.mark.parametrize("image", [BARE, WITH_PYTHON])
async def test_an_image_that_runs_alone(served: Any, image: str) -> None:
    (served.cwd / "train.py").write_text(SCRIPT)
    words = ("--docker", image, "--setenv", "MODE=a b", "train.py", "--", "--lr", "0.1", "3")
    ran = await served("run", *words)
    assert ran.status == 3, ran.err
    inside = await served("shell", "-c", "python train.py 0; cat /etc/debian_version")
    assert inside.status == 0 and "MODE" not in inside.out, inside.err
    tag = f"evq-test-made-{image}"
    built = await served("build", "--docker", tag, "--json")
    try:
        assert built.status == 0, built.err
        with pytest.raises(docker.errors.ContainerError) as ended:
            client().containers.run(tag, remove=True, network_mode="none")
        assert ended.value.exit_status == 3
        words = ["python", "train.py", "0"]
        said = client().containers.run(tag, words, remove=True, network_mode="none").decode()
        assert said == "['0'] {'lr': (0.1, 3)} a b /workspace\n".replace("(0.1, 3)", "[0.1, 3]")
    finally:
        client().images.remove(tag, force=True)


async def test_no_image_of_what_runs_in_none(served: Any) -> None:
    (served.cwd / "train.py").write_text("")
    assert (await served("run", "train.py")).status == 0
    refused = await served("build", "--docker", "evq-test-none")
    assert refused.status == 1
    assert "no image can be made of a task that runs in none" in refused.err
