"""Aborts, wherever a task is when they come."""

import os

import pytest

from evq.core.decide import Abort, Rejected
from evq.core.events import Aborted, Cause, Claimed, Finished, Outcome, Started
from evq.core.handle import handle

TIDY = """
import signal, sys
def tidy(*_):
    print("tidied")
    sys.exit(0)
signal.signal(signal.SIGTERM, tidy)
print("ready")
signal.pause()
"""

STUBBORN = """
import signal
signal.signal(signal.SIGTERM, lambda *_: print("no"))
print("ready")
while True:
    signal.pause()
"""

OBSTINATE = "trap '{gate}; exit 3' TERM; echo ready; while :; do sleep 0.01; done"
"""Ends when it was told to and the gate is open."""

DAEMON = """
import os, signal
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(os.getpid())
        while True:
            signal.pause()
    os._exit(0)
os.wait()
signal.pause()
"""

ORPHAN = """
import os, signal
reader, writer = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(os.getpid())
        os.write(writer, b"!")
        while True:
            signal.pause()
    os._exit(0)
os.wait()
os.read(reader, 1)
"""
"""Ends when its daemon has said who it is."""

BACKEND = """
def get_requires_for_build_wheel(settings=None):
    open({gate!r}).read()
    return []
"""

PROJECT = """
[project]
name = "slow"
version = "1"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def aborted(queue, task: str):
    """The task, after it was aborted and has ended so."""
    await queue.client.abort(task, "not wanted")
    ended = await queue.ended(task)
    assert (ended.state.outcome, ended.state.cause) == (Outcome.ABORTED, Cause.ABORT)
    assert ended.state.evidence == "not wanted"
    return ended


async def test_a_task_that_waits(queue, start_agent):
    waits, follows = await queue.enqueue("true"), await queue.enqueue("true")
    await aborted(queue, waits)
    start_agent([queue]).ready()
    await queue.ended(follows)
    kinds = [type(envelope.event) for envelope in await queue.envelopes(waits)]
    assert kinds == [Aborted]


@pytest.fixture
def slow(gate, tmp_path):
    """A requirement whose build waits at the gate."""
    project = tmp_path / "slow"
    project.mkdir()
    (project / "pyproject.toml").write_text(PROJECT)
    (project / "backend.py").write_text(BACKEND.format(gate=str(gate.path)))
    return f"slow @ {project.as_uri()}"


async def test_a_task_whose_environment_is_being_made(served, gate, slow):
    task = await served.enqueue("true", manager="uv", requirements=(slow,), retries=3)
    await gate.reached()
    ended = await aborted(served, task)
    gate.open()
    assert ended.attempts[0].launch is None and ended.state.exit_code is None
    assert [phase.name for phase in ended.attempts[0].phases] == ["environment"]


async def test_a_wish_of_which_the_agent_was_not_told(served, gate, slow):
    task = await served.enqueue("true", manager="uv", requirements=(slow,), retries=3)
    await gate.reached()
    client = served.client
    await handle(client.bus.log, client.author, await client.get(task), Abort("not wanted"))
    gate.open()
    # No renewal comes for minutes: the agent sees it when it next writes into the task's log.
    ended = await served.ended(task)
    assert (ended.state.outcome, ended.state.evidence) == (Outcome.ABORTED, "not wanted")
    assert ended.attempts[0].launch is None


async def test_a_task_that_runs_may_tidy_up(served, plain_python):
    task = await served.enqueue(plain_python, "-u", "-c", TIDY, retries=3)
    await served.line(task, "ready")
    ended = await aborted(served, task)
    assert ended.state.exit_code == 0 and len(ended.attempts) == 1
    assert await served.lines(task) == ["ready", "tidied"]


async def test_a_task_that_does_not_listen_is_killed(served, plain_python):
    task = await served.enqueue(plain_python, "-u", "-c", STUBBORN, grace=2.0)
    await served.line(task, "ready")
    ended = await aborted(served, task)
    assert ended.state.exit_code == -9
    assert await served.lines(task) == ["ready", "no"]


async def test_who_left_the_session_is_ended_too(served, plain_python):
    task = await served.enqueue(plain_python, "-u", "-c", DAEMON, grace=0.1)
    pid = int(await served.line(task, ""))
    assert alive(pid) and os.getsid(pid) != os.getsid(0)
    await aborted(served, task)
    assert not alive(pid)


async def test_what_is_left_of_a_task_that_ended_is_ended(served, plain_python):
    task = await served.run(plain_python, "-u", "-c", ORPHAN)
    assert task.state.outcome is Outcome.COMPLETED
    (pid,) = await served.lines(task.id)
    assert not alive(int(pid))


async def test_once_is_enough(served, gate):
    task = await served.enqueue("sh", "-c", OBSTINATE.format(gate=gate.wait), grace=300.0)
    await served.line(task, "ready")
    await served.client.abort(task, "not wanted")
    await gate.reached()
    with pytest.raises(Rejected, match="is being aborted already"):
        await served.client.abort(task, "really not")
    gate.open()
    await served.ended(task)
    with pytest.raises(Rejected, match="has ended already"):
        await served.client.abort(task, "at all")


async def test_a_wish_that_comes_before_the_start(served):
    # Sent as soon as the claim is seen, it comes during any step on the way to the command.
    for _ in range(10):
        task = await served.enqueue("sleep", "60")
        await served.event(task, Claimed)
        await aborted(served, task)
        kinds = [type(envelope.event) for envelope in await served.envelopes(task)]
        assert kinds.count(Finished) == 1 and kinds.count(Started) <= 1
