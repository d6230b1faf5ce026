"""Set-up scripts and system packages: in containers always, else where they are allowed."""

from __future__ import annotations

import os
import shutil
from typing import Any

import pytest
from engine import BARE, HOST_NETWORK, containers, needs_engine

from evq.agent.caches.images import PreparedImages
from evq.core.events import Cause, Outcome
from evq.core.spec import Container

in_container = needs_engine()
IN_BARE = {"container": Container(BARE)}


def phases(task: Any) -> dict[str, bool | None]:
    return {phase.name: phase.cached for phase in task.attempts[-1].phases}


@in_container
async def test_a_script_and_a_package_are_kept_for_the_next_time(queue, start_agent):
    start_agent([queue], *HOST_NETWORK).ready()
    # The name of the queue is new in each test, so that nothing of it is prepared.
    spec = {**IN_BARE, "setup": f"echo {queue.name} > /etc/made\necho working", "apt": ("tree",)}
    cold = await queue.run("sh", "-c", "cat /etc/made; tree --version", **spec)
    warm = await queue.run("sh", "-c", "cat /etc/made; tree --version", **spec)
    assert phases(cold) == {"container": True, "setup": False, "packages": False, "image": None}
    assert phases(warm) == {"container": True, "setup": True, "packages": True}
    for task in (cold, warm):
        made, version = await queue.lines(task.id, "o")
        assert made == queue.name and version.startswith("tree v")
    assert "working" in await queue.lines(cold.id, "s")
    assert "working" not in await queue.lines(warm.id, "s")


@in_container
async def test_downloads_of_packages_are_shared(queue, start_agent):
    agent = start_agent([queue], *HOST_NETWORK).ready()
    for number in (1, 2):
        spec = {**IN_BARE, "setup": f": {queue.name} {number}", "apt": ("tree",)}
        task = await queue.run("true", **spec)
        assert phases(task)["packages"] is False
    assert len(list((agent.folder / "cache" / "apt").glob("*/archives/tree_*.deb"))) == 1
    said = await queue.lines(task.id, "s")
    assert any("Need to get 0 B" in line for line in said), said


@in_container
async def test_a_script_that_fails_is_not_kept(queue, start_agent):
    start_agent([queue]).ready()
    spec = {**IN_BARE, "setup": f"echo {queue.name}\nls /no/such/place\necho never"}
    for _ in range(2):
        task = await queue.run("true", **spec)
        assert (task.state.outcome, task.state.cause) == (Outcome.FAILED, Cause.ENVIRONMENT)
        assert "the set-up script failed" in task.state.evidence
        assert "/no/such/place" in task.state.evidence
        assert "never" not in await queue.lines(task.id)


@in_container
async def test_a_package_that_is_nowhere(queue, start_agent):
    start_agent([queue], *HOST_NETWORK).ready()
    task = await queue.run("true", **IN_BARE, apt=("no-such-package",))
    assert task.state.cause is Cause.ENVIRONMENT
    assert "Unable to locate package no-such-package" in task.state.evidence


@in_container
async def test_prepared_images_are_a_cache(queue, start_agent, until):
    agent = start_agent([queue]).ready()
    spec = {**IN_BARE, "setup": f"echo {queue.name} > /etc/made"}
    first, second = [await queue.run("true", **spec) for _ in range(2)]
    images = PreparedImages(agent.folder / "cache")
    (entry,) = images.entries()
    assert 0 < entry.bytes < 2**20 and entry.kind == "images"
    # The engine removes a container a moment after its first process is dead.
    await until(lambda: not containers(agent))
    assert images.remove(entry.name) and images.entries() == []
    third = await queue.run("true", **spec)
    assert [phases(task)["setup"] for task in (first, second, third)] == [False, True, False]


async def test_neither_is_had_on_the_bare_machine(served):
    for wish in ({"setup": "echo x"}, {"apt": ("no-such-package",)}):
        task = await served.run("true", **wish)
        assert task.state.cause is Cause.ENVIRONMENT
        assert "its administrator has not allowed that" in task.state.evidence
        assert "--docker" in task.state.evidence or "--docker" in "".join(
            await served.lines(task.id, "a")
        )


async def test_a_script_where_it_is_allowed(queue, start_agent, tmp_path):
    start_agent([queue], "--allow-setup").ready()
    made = tmp_path / "made"
    task = await queue.run("cat", str(made), setup=f"echo here > {made}\necho said")
    assert task.state.outcome is Outcome.COMPLETED
    assert await queue.lines(task.id, "so") == ["said", "here"]
    assert phases(task) == {"setup": False}


@pytest.mark.skipif(not shutil.which("dpkg-query"), reason="this machine is no Debian")
async def test_packages_that_are_there_already_need_nobody_s_leave(served):
    task = await served.run("true", apt=("bash", "coreutils"))
    assert task.state.outcome is Outcome.COMPLETED
    assert phases(task) == {"packages": True}


@pytest.mark.skipif(os.getuid() == 0, reason="root can install packages")
async def test_packages_for_an_agent_that_is_not_root(queue, start_agent):
    start_agent([queue], "--allow-apt").ready()
    task = await queue.run("true", apt=("no-such-package",))
    assert "does not run as root" in task.state.evidence
