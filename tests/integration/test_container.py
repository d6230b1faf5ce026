"""Tasks in containers, by a real agent on a real engine: what runs, with what, and whose it is."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from engine import BARE, HOST_NETWORK, WITH_PYTHON, client, containers, needs_engine

from evq.core.events import Cause, Outcome, Started
from evq.core.spec import Container, Script
from evq.core.state import Task

pytestmark = needs_engine()


def phases(task: Task) -> dict[str, bool | None]:
    """The steps of the last attempt, and whether a cache served each."""
    return {phase.name: phase.cached for phase in task.attempts[-1].phases}


async def completed(queue: Any, task: Task) -> Task:
    """`task`, after a look that it completed; else what it said."""
    if task.state.outcome is not Outcome.COMPLETED:
        pytest.fail("\n".join([task.state.evidence, *await queue.lines(task.id)]))
    return task


async def test_a_command_in_a_bare_image(queue, start_agent, until):
    agent = start_agent([queue]).ready()
    script = "test -e /usr/bin/python3 || echo bare; pwd; id -u; echo $EVQ_IMAGE; exit 3"
    task = await queue.run("sh", "-c", script, container=Container(BARE), keep=0)
    (attempt,) = task.attempts
    assert (task.state.outcome, task.state.cause) == (Outcome.FAILED, Cause.CODE)
    assert task.state.exit_code == 3
    bare, folder, user, image = await queue.lines(task.id, "o")
    assert bare == "bare"
    assert folder.startswith(str(agent.folder)) and not Path(folder).exists()
    assert user == str(os.getuid())
    assert attempt.environment.image in image
    assert phases(task) == {"container": True}
    await until(lambda: not containers(agent))


async def test_an_environment_in_a_bare_image(queue, start_agent, send):
    start_agent([queue], *HOST_NETWORK).ready()
    files = {"main.py": "import six, sys, evq\nevq.log({'x': 1}, step=2)\nprint(sys.prefix)"}
    spec = {
        "entry": Script("main.py"),
        "code": await send(files),
        "manager": "auto",
        "requirements": ("six==1.17.0",),
        "container": Container(BARE),
    }
    cold = await completed(queue, await queue.run(**spec))
    warm = await completed(queue, await queue.run(**spec))
    assert phases(cold) == {"container": True, "code": False, "environment": False}
    assert phases(warm) == {"container": True, "code": True, "environment": True}
    assert [package.name for package in warm.attempts[0].environment.packages] == ["six"]
    assert await queue.points(warm.id) == [("x", 2, 1.0)]
    assert await queue.lines(cold.id, "o") == await queue.lines(warm.id, "o")


async def test_an_image_with_a_python_of_its_own(queue, start_agent, send):
    start_agent([queue], *HOST_NETWORK).ready()
    files = {"main.py": "import os, sys\nprint(os.path.realpath(sys.executable))"}
    spec = {"entry": Script("main.py"), "code": await send(files), "manager": "auto"}
    spec |= {"python": "3.11", "container": Container(WITH_PYTHON)}
    cold = await completed(queue, await queue.run(**spec))
    warm = await completed(queue, await queue.run(**spec))
    assert await queue.lines(warm.id, "o") == ["/usr/bin/python3.11"]
    assert cold.attempts[0].environment.python.startswith("3.11")
    # The interpreter lies in the image alone, and the environment is found again all the same.
    assert phases(warm)["environment"] is True


async def test_a_python_that_cannot_be_had(queue, start_agent):
    start_agent([queue], *HOST_NETWORK).ready()
    wish = {"manager": "uv", "python": "3.4", "container": Container(BARE)}
    task = await queue.run("true", **wish)
    assert task.state.cause is Cause.ENVIRONMENT
    assert "Python" in task.state.evidence and "3.4" in task.state.evidence


async def test_the_images_of_an_administrator(queue, other_queue, start_agent):
    rule = f"--docker-for={other_queue.name}={WITH_PYTHON}"
    start_agent([queue, other_queue], "--docker", BARE, rule).ready()
    has = ("sh", "-c", "test -e /usr/bin/git && echo yes || echo no")
    bare, rich = await queue.run(*has), await other_queue.run(*has)
    own = await other_queue.run(*has, container=Container(BARE))
    assert await queue.lines(bare.id, "o") == ["no"]
    assert await other_queue.lines(rich.id, "o") == ["yes"]
    assert await other_queue.lines(own.id, "o") == ["no"]


async def test_arguments_of_a_task(queue, start_agent):
    start_agent([queue]).ready()
    args = ("--shm-size=8m", "--ulimit nofile=77:77", "--env A=b c", "--hostname=here")
    args = (*args[:2], "--env=A=b", "--hostname=here", "--pids-limit=64", "--cpus=1.5")
    script = "df -k /dev/shm | tail -1 | awk '{print $2}'; ulimit -n; echo $A; uname -n"
    task = await queue.run("bash", "-c", script, container=Container(BARE, args))
    assert await queue.lines(task.id, "o") == ["8192", "77", "b", "here"]


@pytest.mark.parametrize(
    "word",
    [
        *("--privileged", "-v /:/host", "--network=host", "--device=/dev/fuse", "--gpus=all"),
        *("--cap-add SYS_ADMIN", "--security-opt seccomp=unconfined", "--ipc=host"),
        "-v /var/run/docker.sock:/s",
    ],
)
async def test_guarded_arguments_are_refused(queue, start_agent, word):
    start_agent([queue]).ready()
    task = await queue.run("true", container=Container(BARE, (word,)), retries=0)
    assert (task.state.outcome, task.state.cause) == (Outcome.FAILED, Cause.ENVIRONMENT)
    assert "E34" in task.state.evidence and "administrator" in task.state.evidence


async def test_a_guarded_argument_that_is_allowed(queue, start_agent, tmp_path):
    start_agent([queue], "--docker-allow", "volume").ready()
    (tmp_path / "data").mkdir()
    args = (f"-v {tmp_path}/data:/data:ro",)
    script = "test -d /data && ! touch /data/x"
    await completed(queue, await queue.run("sh", "-c", script, container=Container(BARE, args)))


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has a GPU")
async def test_the_engine_says_that_there_is_no_gpu(queue, start_agent):
    start_agent([queue], "--docker-allow", "gpus").ready()
    task = await queue.run("true", container=Container(BARE, ("--gpus=device=0",)))
    assert task.state.cause is Cause.ENVIRONMENT
    assert "gpu" in task.state.evidence and "could not select device driver" in task.state.evidence


def recorded(folder: Path, vendor: str) -> tuple[str, ...]:
    """The options of an agent that believes in two GPUs."""
    file = folder / "gpus.json"
    gpus = [{"id": f"GPU-{n}", "vendor": vendor} for n in range(2)]
    file.write_text(json.dumps({"gpus": gpus}))
    return ("--gpu-readings", str(file), "--docker-allow", "gpus")


async def test_a_task_in_a_container_is_told_its_gpus(queue, start_agent, tmp_path):
    start_agent([queue], *recorded(tmp_path, "recorded")).ready()
    script = "echo $CUDA_VISIBLE_DEVICES $NVIDIA_VISIBLE_DEVICES"
    # The engine would refuse this request: it has no GPU.
    box = Container(BARE, ("--gpus=all",))
    task = await completed(queue, await queue.run("sh", "-c", script, container=box, gpus=1))
    assert await queue.lines(task.id, "o") == ["GPU-0 GPU-0"]
    task = await completed(queue, await queue.run("sh", "-c", script, container=box))
    assert await queue.lines(task.id, "o") == ["none"]


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has a GPU")
async def test_the_gpus_of_a_task_are_asked_of_the_engine(queue, start_agent, tmp_path):
    start_agent([queue], *recorded(tmp_path, "nvidia")).ready()
    task = await queue.run("true", container=Container(BARE), gpus=2, losses=0)
    assert task.state.cause is Cause.ENVIRONMENT
    assert "could not select device driver" in task.state.evidence


CALL = """
import os, socket
call = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
try:
    call.connect("/opt/evq/call")
except ConnectionRefusedError:
    print("refused")
cache = os.path.dirname(os.environ["UV_CACHE_DIR"])
print(os.listdir(cache + "/git"))
sdk = os.environ["PYTHONPATH"].split(":")[0]
for place in (cache + "/git/x", cache + "/interpreters/x", "/opt/evq/python/bin/x", sdk + "/x"):
    try:
        open(place, "w")
    except OSError as error:
        print(error.errno)
print(sorted(os.listdir(os.environ["EVQ_AGENT_FOLDER"])))
"""


async def test_a_container_reaches_nothing_of_its_agent(queue, start_agent, send):
    agent = start_agent([queue]).ready()
    spec = {"code": await send({"main.py": CALL}), "entry": Script("main.py")}
    task = await completed(queue, await queue.run(**spec, container=Container(WITH_PYTHON)))
    # The supervisor's socket has nobody, the code of other tasks is not there, and what is
    # mounted cannot be written.
    refused, code, *written, seen = await queue.lines(task.id, "o")
    assert (refused, code, written) == ("refused", "[]", [str(errno.EROFS)] * 4)
    assert seen == "['sdk', 'work']"
    assert list((agent.folder / "cache" / "git").iterdir())


async def test_authorities_are_trusted_in_a_container(queue, start_agent, tmp_path):
    if not (system := ssl.get_default_verify_paths().cafile) or not Path(system).exists():
        pytest.skip("this machine has no file of authorities")
    extra = tmp_path / "extra.pem"
    end = "-----END CERTIFICATE-----"
    extra.write_text(Path(system).read_text().partition(end)[0] + end)
    start_agent([queue], "--extra-ca", str(extra)).ready()
    task = await queue.run("sh", "-c", "grep -c BEGIN $PIP_CERT", container=Container(BARE))
    (inside,) = await queue.lines(task.id, "o")
    assert int(inside) == Path(system).read_text().count("BEGIN") + 1


async def test_files_of_a_task_belong_to_the_agent(queue, start_agent, tmp_path):
    agent = start_agent([queue], "--docker-allow", "volume").ready()
    out = tmp_path / "out"
    out.mkdir()
    args = (f"-v {out}:/out",)
    script = "umask 077; mkdir -p deep/er; touch deep/er/x /out/y; chmod 000 deep/er"
    task = await queue.run("sh", "-c", script, container=Container(BARE, args))
    await completed(queue, task)
    assert (out / "y").stat().st_uid == os.getuid()
    assert [
        path.name for path in (agent.folder / "state/agents" / agent.name / "work").iterdir()
    ] == []


async def test_an_image_that_is_nowhere(queue, start_agent):
    start_agent([queue]).ready()
    task = await queue.run("true", container=Container("localhost:1/no/such:1"))
    assert (task.state.outcome, task.state.cause) == (Outcome.FAILED, Cause.ENVIRONMENT)
    assert "the image localhost:1/no/such:1 cannot be had" in task.state.evidence


async def test_no_engine(queue, start_agent, monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    start_agent([queue]).ready()
    task = await queue.run("true", container=Container(BARE))
    assert task.state.cause is Cause.ENVIRONMENT
    assert "no container engine answers on this machine" in task.state.evidence


HUNGRY = "import sys\nx = bytearray(400 * 2**20)\nfor i in range(0, len(x), 4096): x[i] = 1"


async def test_a_kill_for_memory_is_told_with_the_evidence(queue, start_agent):
    start_agent([queue]).ready()
    wish = Container(WITH_PYTHON, ("--memory=100m",))
    task = await queue.run("python3", "-c", HUNGRY, container=wish)
    assert (task.state.outcome, task.state.cause) == (Outcome.FAILED, Cause.OOM_HOST)
    assert "oom_kill 1" in task.state.evidence and str(100 * 2**20) in task.state.evidence


async def test_a_kill_by_somebody_is_no_kill_for_memory(queue, start_agent):
    start_agent([queue]).ready()
    wish = Container(BARE, ("--memory=100m",))
    for script, code, cause in (("kill -9 $$", -9, Cause.SIGNAL), ("exit 137", 137, Cause.CODE)):
        task = await queue.run("sh", "-c", script, container=wish)
        assert (task.state.exit_code, task.state.cause) == (code, cause)


async def test_an_abort_ends_the_whole_tree(queue, start_agent, until):
    agent = start_agent([queue]).ready()
    script = (
        "trap 'echo tidied; exit 0' TERM; (setsid sleep 1000 &) ; echo ready; sleep 1000 & wait"
    )
    task = await queue.enqueue("bash", "-c", script, container=Container(BARE))
    await queue.line(task, "ready")
    await queue.client.abort(task, "not wanted")
    ended = await queue.ended(task)
    assert ended.state.outcome is Outcome.ABORTED
    assert "tidied" in await queue.lines(task)
    await until(lambda: not containers(agent))


async def test_a_time_limit_with_grace(queue, start_agent, until):
    agent = start_agent([queue]).ready()
    script = "trap 'echo no' TERM; while true; do sleep 0.1; done"
    wish = {"container": Container(BARE), "timeout": 3.0, "grace": 2.0}
    task = await queue.run("bash", "-c", script, **wish)
    assert task.state.outcome is Outcome.TIMED_OUT
    assert "no" in await queue.lines(task.id, "o")
    await until(lambda: not containers(agent))


async def test_a_killed_first_process_costs_an_attempt(queue, start_agent, until):
    agent = start_agent([queue]).ready()
    task = await queue.enqueue("sleep", "1000", container=Container(BARE), losses=1)
    await queue.event(task, Started)
    (one,) = containers(agent)
    os.kill(client().api.inspect_container(one["Id"])["State"]["Pid"], signal.SIGKILL)
    await queue.event(task, Started, 2)
    first = (await queue.client.get(task)).attempts[0]
    assert first.end.cause is Cause.INFRASTRUCTURE
    await queue.client.abort(task, "enough")
    await queue.ended(task)
    await until(lambda: not containers(agent))


def look(task: str, *words: str) -> str:
    """What `evq shell` runs, with one command."""
    argv = [sys.executable, "-P", "-m", "evq.agent.attempts.shell", "--task", task, *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not shutil.which("docker"), reason="a shell needs docker's command line")
async def test_a_shell_in_a_running_container_and_in_a_failed_one(queue, start_agent, until):
    agent = start_agent([queue]).ready()
    script = (
        "echo mine > file; touch /only/here; echo ready $(pwd);"
        "until test -e end; do sleep 0.05; done; exit 3"
    )
    setup = "mkdir -p /only"
    wish = {"container": Container(BARE), "setup": setup, "variables": {"A": "b c"}}
    task = await queue.enqueue("sh", "-c", script, **wish)
    folder = Path((await queue.line(task, "ready")).split()[1])
    pid = (await queue.event(task, Started)).pid
    command = "cat file; ls /only; echo $A"
    assert look(task, "--pid", str(pid), "--command", command) == "mine\nhere\nb c\n"
    (folder / "end").touch()
    ended = await queue.ended(task)
    assert (ended.state.outcome, ended.state.exit_code) == (Outcome.FAILED, 3)
    kept = agent.folder / "state/agents" / agent.name / "work" / f"{task}-1"
    await until(kept.with_name(f"{kept.name}.json").exists)
    # The files of the image are as they were before the command; those of the task are kept.
    assert look(task, "--kept", str(kept), "--command", command) == "mine\nb c\n"
