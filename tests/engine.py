"""A container engine for tests, and what is left in it; without one, tests say why they skip.

`tests/engine.sh` brings one up. Any other will do that has the images `BARE` (a Debian
without Python and git) and `WITH_PYTHON`.
"""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import docker
import pytest

BARE, WITH_PYTHON = "evq-test-bare", "evq-test-python"
SCRIPT = Path(__file__).with_name("engine.sh")
HOST_NETWORK = ("--docker-args", "--network host")
"""The engine of the tests has no network of its own, so that it changes nothing of the machine."""


@cache
def missing() -> str:
    """Why there can be no test with containers here; empty if there can."""
    if reason := os.environ.get("EVQ_TEST_NO_ENGINE"):
        return reason
    try:
        names = {tag for image in client().images.list() for tag in image.tags}
    except docker.errors.DockerException as error:
        return f"no container engine answers ({error}); {SCRIPT.name} up brings one"
    lacking = {f"{name}:latest" for name in (BARE, WITH_PYTHON)} - names
    return f"the engine lacks {', '.join(sorted(lacking))}" if lacking else ""


@cache
def client() -> docker.DockerClient:
    """The engine, by its own library."""
    return docker.from_env()


def needs_engine() -> pytest.MarkDecorator:
    """A mark for modules whose tests run containers."""
    reason = missing()
    return pytest.mark.skipif(bool(reason), reason=reason)


def containers(agent: Any) -> list[dict[str, Any]]:
    """The containers of an agent, running or not."""
    label = f"evq.agent={agent.folder / 'state' / 'agents' / agent.name}"
    found = client().api.containers(all=True, filters={"label": label})
    return list(found)


def engine_script(verb: str) -> None:
    """Tell the script of the tests' own engine something."""
    subprocess.run([SCRIPT, verb, os.environ["EVQ_TEST_ENGINE"]], check=True, capture_output=True)
