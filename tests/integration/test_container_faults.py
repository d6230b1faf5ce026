"""What goes wrong around containers: whoever dies, none is left and no task runs twice."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest
from engine import BARE, client, containers, engine_script, needs_engine
from leftovers import half_made, mounts

from evq.agent.environments.cache import Cache
from evq.agent.gpus.find import ledger_folder
from evq.agent.gpus.ledger import Ledger
from evq.core.events import Cause, Claimed, Outcome, Phase, Started
from evq.core.spec import Container, Script

pytestmark = needs_engine()

ALLOW = ("--docker-allow", "volume")
LEASE = ("--lease", "2", *ALLOW)
"""For an agent that is lost, so that it is soon."""


def processes(word: str) -> list[psutil.Process]:
    """The living processes on this machine whose command line has `word` in it; `info` is what
    was seen of each."""
    found = []
    for process in psutil.process_iter(["cmdline", "ppid", "status"]):
        living = process.info["status"] != psutil.STATUS_ZOMBIE
        if living and word in " ".join(process.info["cmdline"] or ()):
            found.append(process)
    return found


@pytest.fixture
def door(tmp_path: Path) -> Path:
    """A folder for containers; what waits there goes on when it holds a file `open`."""
    folder = tmp_path / "door"
    folder.mkdir()
    return folder


def at(door: Path, **more: Any) -> dict[str, Any]:
    """A spec in a container that sees the door."""
    return {"container": Container(BARE, (f"-v {door}:/door",)), **more}


WAIT = "touch /door/here; until test -e /door/open; do sleep 0.05; done; echo through"


@pytest.mark.parametrize("step", ["setup", "run"])
async def test_the_agent_is_killed(queue, start_agent, until, door, step):
    first = start_agent([queue], *LEASE).ready()
    # The queue's name is new in each test, so that no image was prepared for it.
    spec = at(door, setup=f": {queue.name}; {WAIT}") if step == "setup" else at(door)
    command = "true" if step == "setup" else WAIT
    task = await queue.enqueue("sh", "-c", command, **spec)
    await until((door / "here").exists)
    first.process.kill()
    await until(lambda: not containers(first))
    await until(lambda: processes(str(first.folder / "state/agents" / first.name)) == [])
    (door / "open").touch()
    second = start_agent([queue], *ALLOW).ready()
    ended = await queue.ended(task)
    assert ended.state.outcome is Outcome.COMPLETED
    assert [one.end.cause for one in ended.attempts] == [Cause.LOST_AGENT, None]
    await until(lambda: not containers(second))


BACKEND = """
import os, time, zipfile
from pathlib import Path

def build_wheel(folder, config_settings=None, metadata_directory=None):
    Path("/door/here").touch()
    while not os.path.exists("/door/open"):
        time.sleep(0.05)
    with zipfile.ZipFile(os.path.join(folder, "own-1.0-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("own.py", "WORD = 'built'")
        info = "own-1.0.dist-info"
        wheel.writestr(info + "/METADATA", "Metadata-Version: 2.1\\nName: own\\nVersion: 1.0\\n")
        wheel.writestr(info + "/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr(info + "/RECORD", "")
    return "own-1.0-py3-none-any.whl"
"""
PROJECT = {
    "train.py": "import own\nprint(own.WORD)",
    "requirements.txt": "./own\n",
    "own/backend.py": BACKEND,
    "own/pyproject.toml": '[project]\nname = "own"\nversion = "1.0"\n[build-system]\n'
    'requires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
}
"""Code with a package of its own whose build waits at the door."""

GIT = """#!/bin/sh
case " $* " in *" read-tree "*) {wait} ;; esac
exec {git} "$@"
"""


@pytest.mark.parametrize("step", ["packages", "code", "environment"])
async def test_the_agent_is_killed_in_set_up(
    queue, start_agent, until, door, step, send, monkeypatch, tmp_path
):
    spec = at(door, entry=Script("train.py"), code=await send(PROJECT), manager="uv")
    if step == "packages":
        # An apt-get that waits, put in place by the set-up script before it.
        waits = f"printf '#!/bin/sh\\n{WAIT}\\n' > /usr/bin/apt-get; : {queue.name}"
        spec |= {"setup": waits, "apt": ("no-such-package",)}
    elif step == "code":
        bin = tmp_path / "bin"
        bin.mkdir()
        waits = GIT.format(wait=WAIT.replace("/door", str(door)), git=shutil.which("git"))
        (bin / "git").write_text(waits)
        (bin / "git").chmod(0o755)
        monkeypatch.setenv("PATH", f"{bin}:{os.environ['PATH']}")
    first = start_agent([queue], *LEASE).ready()
    task = await queue.enqueue(**spec)
    await until((door / "here").exists)
    first.process.kill()
    await until(lambda: not containers(first))
    await until(lambda: processes(str(first.folder / "state/agents" / first.name)) == [])
    (door / "open").touch()
    second = start_agent([queue], *ALLOW).ready()
    ended = await queue.ended(task)
    assert ended.state.outcome is Outcome.COMPLETED, await queue.lines(task)
    assert [one.end.cause for one in ended.attempts] == [Cause.LOST_AGENT, None]
    assert ended.attempts[0].phases[-1].name == step
    assert "built" in await queue.lines(task, "o")
    await until(lambda: not containers(second))

    def pruned() -> bool:
        # The same as the agent's caretaker does from time to time, perhaps in this moment.
        Cache(tmp_path / "cache").prune(1 << 40)
        return half_made(tmp_path / "cache") == []

    await until(pruned)
    assert mounts(tmp_path) == []
    # What lies in the folder of the first is removed by the next agent of its name.
    assert not list((second.folder / "state/agents" / second.name).glob(f"work/{task}-*"))


async def test_the_agent_is_killed_during_a_pull(queue, start_agent, until, silent_registry):
    first = start_agent([queue], *LEASE).ready()
    task = await queue.enqueue("true", container=Container(f"{silent_registry}/never:1"))
    await queue.event(task, Phase)
    first.process.kill()
    second = start_agent([queue]).ready()
    await queue.event(task, Claimed, 2)
    await queue.client.abort(task, "enough")
    await queue.ended(task)
    assert not containers(first) and not containers(second)


@pytest.fixture
async def silent_registry() -> Any:
    """The address of a registry that takes connections and says nothing."""

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield f"{host}:{port}"
    server.close()


async def test_an_abort_during_a_pull(queue, start_agent, silent_registry):
    start_agent([queue]).ready()
    task = await queue.enqueue("true", container=Container(f"{silent_registry}/never:1"))
    await queue.event(task, Phase)
    await queue.client.abort(task, "not wanted")
    assert (await queue.ended(task)).state.outcome is Outcome.ABORTED


async def test_an_abort_during_the_set_up_script(queue, start_agent, until, door):
    agent = start_agent([queue], *ALLOW).ready()
    task = await queue.enqueue("true", **at(door, setup=f": {queue.name}; {WAIT}"))
    await until((door / "here").exists)
    await queue.client.abort(task, "not wanted")
    assert (await queue.ended(task)).state.outcome is Outcome.ABORTED
    await until(lambda: not containers(agent))


async def test_a_stopped_agent_s_container_freezes_and_thaws(queue, start_agent, until, door):
    agent = start_agent([queue], *LEASE).ready()
    word = f"wait-{os.getpid()}-{queue.name}"
    script = f": {word}; {WAIT}"
    task = await queue.enqueue("sh", "-c", script, **at(door))
    await until((door / "here").exists)
    found = processes(word)
    # A fork of the shell has the shell's words until it has become `sleep`.
    (process,) = (one for one in found if one.info["ppid"] not in {other.pid for other in found})
    agent.process.send_signal(signal.SIGSTOP)
    await until(lambda: process.status() == psutil.STATUS_STOPPED)
    agent.process.send_signal(signal.SIGCONT)
    await until(lambda: process.status() != psutil.STATUS_STOPPED)
    (door / "open").touch()
    ended = await queue.ended(task)
    assert ended.state.outcome is Outcome.COMPLETED and len(ended.attempts) == 1


async def test_what_cannot_end_itself_is_swept_by_the_next_run(queue, start_agent, until, door):
    first = start_agent([queue], *LEASE, name="sweeper").ready()
    await queue.enqueue("sh", "-c", WAIT, **at(door, losses=0))
    await until((door / "here").exists)
    (one,) = containers(first)
    client().api.pause(one["Id"])
    first.process.kill()
    first.process.wait()
    assert containers(first)
    second = start_agent([queue], *LEASE, name="sweeper").ready()
    assert "removed 1 containers" in second.said
    await until(lambda: not containers(first))


async def test_a_container_keeps_its_gpu_when_its_agent_is_killed(
    queue, start_agent, until, door, tmp_path
):
    file = tmp_path / "gpus.json"
    file.write_text('{"gpus": [{"id": "GPU-0"}]}')
    first = start_agent([queue], *LEASE, "--gpu-readings", str(file)).ready()
    await queue.enqueue("sh", "-c", WAIT, **at(door, gpus=1, losses=0))
    await until((door / "here").exists)
    (box,) = containers(first)
    supervisor = client().api.inspect_container(box["Id"])["State"]["Pid"]
    os.kill(supervisor, signal.SIGSTOP)
    first.process.kill()
    await first.over()
    ledger = Ledger(ledger_folder(file))
    with ledger.open() as entries:
        assert [claim.gpus for claim in entries.held] == [("GPU-0",)] and not entries.left
    os.kill(supervisor, signal.SIGCONT)
    await until(lambda: not containers(first))

    def left() -> list[tuple[str, ...]]:
        with ledger.open() as entries:
            assert not (entries.held and entries.left)
            return [left.claim.gpus for left in entries.left]

    assert await until(left) == [("GPU-0",)]


async def test_twenty_starts_at_once_make_one_environment(queue, start_agent):
    start_agent([queue], "--slots", "4", "--docker-args", "--network host").ready()
    spec = {"manager": "uv", "requirements": ("six==1.17.0",), "container": Container(BARE)}
    many = [await queue.enqueue("python", "-c", "import six", **spec) for _ in range(8)]
    ended = [await queue.ended(task) for task in many]
    assert {task.state.outcome for task in ended} == {Outcome.COMPLETED}
    steps = [step for task in ended for step in task.attempts[0].phases]
    built = [step.cached for step in steps if step.name == "environment"]
    assert sorted(built) == [False] + [True] * 7


restarts = pytest.mark.skipif(
    "EVQ_TEST_ENGINE" not in os.environ or "PYTEST_XDIST_WORKER" in os.environ,
    reason="restarts the engine: it must be the tests' own, and no other test may need it",
)


@restarts
@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_the_engine_restarts(queue, start_agent, until, door, how):
    agent = start_agent([queue], *ALLOW).ready()
    task = await queue.enqueue("sh", "-c", WAIT, **at(door))
    await until((door / "here").exists)
    await asyncio.to_thread(engine_script, how)
    (door / "here").unlink()
    await asyncio.to_thread(engine_script, "start")
    await queue.event(task, Started, 2)
    await until((door / "here").exists)
    (door / "open").touch()
    ended = await queue.ended(task)
    assert ended.state.outcome is Outcome.COMPLETED
    assert [one.end.cause for one in ended.attempts] == [Cause.INFRASTRUCTURE, None]
    await until(lambda: not containers(agent))


def test_no_mount_of_a_container_is_left():
    mounts = subprocess.run(["cat", "/proc/mounts"], capture_output=True, text=True).stdout
    assert "/state/agents/" not in mounts
