"""Limits on an attempt, and deaths by memory: real cgroups, real allocations, real kills."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evq.agent.limits.cgroups import CONTROLLERS, Cgroups
from evq.agent.limits.confinement import Confinement
from evq.agent.supervision import cgroup
from evq.agent.supervision.process import descendants
from evq.agent.supervision.refusal import MachineFailed
from evq.core.events import Cause, Outcome, Started
from evq.core.spec import Command, Limits, Spec

MIB = 2**20
GREEDY = "hoard = [bytearray(2**20) for _ in range(512)]"
HALF_AS_GREEDY = "hoard = [bytearray(2**20) for _ in range(32)]; print('fits')"

lacking = Cgroups(Path("/nonexistent"), "probe").lacking
needs_cgroups = pytest.mark.skipif(
    bool(lacking), reason="; ".join(f"{name}: {why}" for name, why in lacking.items())
)


async def bases(queue: Any, agent: Any) -> list[str]:
    """Where the agent, which this process has started, makes its cgroups."""
    (instance,) = [a.instance for a in await queue.client.agents() if a.agent == agent.name]
    return list(Cgroups(Path("/nonexistent"), instance).bases)


@needs_cgroups
async def test_a_task_over_its_memory_is_told_so_with_evidence(served: Any) -> None:
    task = await served.run(sys.executable, "-c", GREEDY, limits=Limits(memory=64 * MIB))
    assert (task.state.outcome, task.state.cause) == (Outcome.FAILED, Cause.OOM_HOST)
    assert task.state.exit_code == -9
    told = task.state.evidence
    assert "limit is 64MiB" in told and "oom_kill 1" in told and "peak 6" in told
    fits = await served.run(sys.executable, "-c", HALF_AS_GREEDY, limits=Limits(memory=64 * MIB))
    assert fits.name_of_state == "completed"


@needs_cgroups
async def test_a_shell_cannot_hide_a_death_by_memory(served: Any) -> None:
    limits = Limits(memory=64 * MIB)
    shell = f'{sys.executable} -c "{GREEDY}"; '
    told = await served.run("sh", "-c", shell + "exit $?", limits=limits)
    assert (told.state.exit_code, told.state.cause) == (137, Cause.OOM_HOST)
    hidden = await served.run("sh", "-c", shell + "true", limits=limits)
    assert hidden.name_of_state == "completed"
    assert any("although the kernel ended" in line for line in await served.lines(hidden.id, "a"))


@needs_cgroups
async def test_set_up_that_goes_over_the_memory_is_told_so(served: Any) -> None:
    limits = Limits(memory=4 * MIB)
    task = await served.run("true", manager="uv", requirements=("six",), limits=limits)
    assert (task.state.outcome, task.state.cause) == (Outcome.FAILED, Cause.OOM_HOST)
    assert "limit is 4MiB" in task.state.evidence


async def test_the_same_status_without_the_kernel_is_no_death_by_memory(served: Any) -> None:
    for limits in (None, None if lacking else Limits(memory=64 * MIB)):
        killed = await served.run("sh", "-c", "kill -9 $$", limits=limits)
        assert (killed.state.exit_code, killed.state.cause) == (-9, Cause.SIGNAL)
        said = await served.run("sh", "-c", "exit 137", limits=limits)
        assert (said.state.exit_code, said.state.cause) == (137, Cause.CODE)


@needs_cgroups
async def test_a_task_cannot_start_more_processes_than_it_may(served: Any) -> None:
    code = (
        "import subprocess\n"
        "kept = []\n"
        "try:\n"
        "    for _ in range(20):\n"
        "        kept.append(subprocess.Popen(['sleep', '60']))\n"
        "except OSError as error:\n"
        "    print('refused after', len(kept), flush=True)\n"
        "    raise SystemExit(3)\n"
    )
    task = await served.run(sys.executable, "-c", code, limits=Limits(processes=5))
    assert task.state.exit_code == 3
    assert "refused after 4" in await served.lines(task.id, "o")
    alone = await served.run("true", limits=Limits(processes=1))
    assert alone.name_of_state == "completed"


@needs_cgroups
async def test_a_task_gets_no_more_processor_time_than_it_may(served: Any) -> None:
    code = (
        "import os, time\n"
        "places = dict(reversed(line.split(':')[1:]) for line in open('/proc/self/cgroup'))\n"
        "begun = time.monotonic(), time.process_time()\n"
        "while time.process_time() - begun[1] < 0.3: pass\n"
        "print('share', (time.process_time() - begun[1]) / (time.monotonic() - begun[0]))\n"
    )
    task = await served.run(sys.executable, "-c", code, limits=Limits(cpus=0.2))
    (line,) = await served.lines(task.id, "o")
    # No speed is judged: a busy machine only makes the share smaller.
    assert line.startswith("share ") and float(line.split()[1]) < 0.5


@needs_cgroups
async def test_what_a_limited_command_says_of_itself_is_the_same(served: Any) -> None:
    limits = Limits(processes=50)
    shown = (
        "import os, signal\n"
        "print(os.getsid(0) == os.getpid(), os.getcwd(), os.readlink('/proc/self/fd/0'))\n"
        "print(sorted(os.listdir('/proc/self/fd')), sorted(os.environ))\n"
        "ignored = [n for n in signal.valid_signals() if signal.getsignal(n) == signal.SIG_IGN]\n"
        "print(sorted(ignored), signal.pthread_sigmask(signal.SIG_BLOCK, ()))\n"
    )
    free, bound = [
        await served.run(sys.executable, "-S", "-c", shown, limits=limit, name="same")
        for limit in (None, limits)
    ]
    lines = [await served.lines(task.id, "o") for task in (free, bound)]
    assert lines[0] == lines[1] and lines[0][0].startswith("True ")
    gone = await served.run("no-such-command", limits=limits)
    assert gone.state.cause is Cause.SPAWN and "no command" in gone.state.evidence
    folder = await served.run("/", limits=limits)
    assert folder.state.cause is Cause.SPAWN and "not executable" in folder.state.evidence


@needs_cgroups
async def test_an_attempts_cgroup_is_gone_when_it_has_ended(
    queue: Any, start_agent: Callable[..., Any]
) -> None:
    agent = start_agent([queue]).ready()
    places = await bases(queue, agent)
    await queue.run("sh", "-c", "sleep 600 & exit 0", limits=Limits(64 * MIB, 1.0, 50))
    assert places and all(cgroup.members(place) == [] for place in places)
    assert [entry for place in places for entry in os.scandir(place) if entry.is_dir()] == []
    agent.terminate()
    assert await agent.over() == 0
    assert not any(map(os.path.exists, places))


@needs_cgroups
async def test_a_killed_agent_leaves_no_cgroup(
    queue: Any, start_agent: Callable[..., Any], until: Callable[..., Any]
) -> None:
    agent = start_agent([queue]).ready()
    places = await bases(queue, agent)
    task = await queue.enqueue("sleep", "600", limits=Limits(processes=50))
    pid = (await queue.event(task, Started)).pid
    assert pid in [found for place in places for found in cgroup.members(place)]
    agent.process.kill()
    await until(lambda: not any(map(os.path.exists, places)))


@needs_cgroups
async def test_what_a_killed_agent_and_forkserver_left_is_swept(tmp_path: Path) -> None:
    first = Cgroups(tmp_path, secrets.token_hex(6))
    first.sweep()
    made = first.attempt("task-1", Limits(processes=10))
    assert all(os.path.isdir(folder) for folder in made.folders)
    second = Cgroups(tmp_path, secrets.token_hex(6))
    second.sweep()
    assert not any(os.path.exists(place) for place in first.bases)


def test_an_agent_that_is_alone_in_its_cgroup_moves_below_it(tmp_path: Path) -> None:
    """The same double: what is written where, as the kernel would be asked for it."""
    proc, own = tmp_path / "proc", tmp_path / "own"
    for folder in (proc, own, own / f"evq-agent-{os.getpid()}"):
        folder.mkdir()
    (proc / "cgroup").write_text("0::/\n")
    (proc / "mountinfo").write_text(f"35 24 0:30 / {own} rw - cgroup2 cgroup2 rw\n")
    (own / "cgroup.procs").write_text(f"{os.getpid()}\n")
    (own / "cgroup.controllers").write_text("memory pids\n")
    (own / "cgroup.subtree_control").write_text("\n")
    cgroups = Cgroups(tmp_path, "x", proc=proc)
    assert cgroups.lacking == {"cpu": "the kernel offers no cgroup controller cpu"}
    assert (own / "cgroup.subtree_control").read_text() == "\n"
    cgroups.settle()
    assert (own / f"evq-agent-{os.getpid()}/cgroup.procs").read_text() == "0"
    assert (own / "cgroup.subtree_control").read_text() == "+pids"


class Told:
    """Stands for a supervisor that keeps what it was told."""

    def __init__(self) -> None:
        self.cgroups: tuple[str, ...] = ()

    def confine(self, cgroups: tuple[str, ...]) -> None:
        self.cgroups = cgroups


def confinement(cgroups: Cgroups, rule: str, limits: Limits) -> Confinement:
    """That of an attempt on an agent with these cgroups and this setting."""
    config = SimpleNamespace(limits=rule, max_timeout=None, services=False)
    means: Any = SimpleNamespace(cgroups=cgroups, config=config)
    spec = Spec(entry=Command(("true",)), name="test", queue="q", limits=limits)
    return Confinement(means, spec, "task-1")


def test_limits_that_cannot_be_enforced_are_told(tmp_path: Path) -> None:
    nowhere = Cgroups(tmp_path, "x", proc=tmp_path)
    assert set(nowhere.lacking) == set(CONTROLLERS)
    said: list[str] = []
    told: Any = Told()
    confinement(nowhere, "try", Limits(memory=64 * MIB)).enter(told, said.append)
    assert told.cgroups == () and said == [
        "the task runs without a limit that it asked for: "
        "no limit on memory: the kernel offers no cgroup controller memory"
    ]
    with pytest.raises(MachineFailed, match="cannot be put into force") as refused:
        confinement(nowhere, "require", Limits(memory=64 * MIB)).enter(told, said.append)
    assert "Delegate=yes" in refused.value.fix


def test_the_words_of_version_2(tmp_path: Path) -> None:
    """On a double of its folders: this machine's kernel may have its controllers in version 1."""
    proc, mounted = tmp_path / "proc", tmp_path / "mounted"
    base = mounted / "evq.service/evq-x"
    base.mkdir(parents=True)
    proc.mkdir()
    (proc / "cgroup").write_text("0::/system.slice/evq.service\n")
    (proc / "mountinfo").write_text(
        f"35 24 0:30 /system.slice {mounted} rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
    )
    (base.parent / "cgroup.procs").write_text(f"{os.getpid()}\n1\n")
    (base.parent / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (base.parent / "cgroup.subtree_control").write_text("cpu memory pids\n")
    (base / "cgroup.subtree_control").write_text("\n")
    cgroups = Cgroups(tmp_path, "x", proc=proc)
    cgroups.settle()
    assert (cgroups.lacking, cgroups.bases) == ({}, (str(base),))
    (base.parent / "cgroup.subtree_control").write_text("cpu pids\n")
    shared = Cgroups(tmp_path, "x", proc=proc)
    assert shared.lacking == {"memory": f"other processes than the agent live in {base.parent}"}
    made = cgroups.attempt("task-1", Limits(64 * MIB, 1.5, 20))
    assert made.folders == (f"{base}/task-1",)
    words = {file.name: file.read_text() for file in (base / "task-1").iterdir()}
    assert words == {"memory.max": str(64 * MIB), "cpu.max": "150000 100000", "pids.max": "20"}
    assert (base / "cgroup.subtree_control").read_text() == "+memory +cpu +pids"
    (base / "task-1/memory.events").write_text("low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\n")
    (base / "task-1/memory.peak").write_text(f"{63 * MIB}\n")
    assert made.memory_kills == 1
    assert made.memory_told().startswith("the attempt's limit is 64MiB, its peak 63MiB, oom_kill 1")


async def test_an_agent_may_set_a_longest_time(queue: Any, start_agent: Callable[..., Any]) -> None:
    start_agent([queue], "--max-timeout", "0.3", "--grace", "0.2")
    for timeout in (None, 500.0):
        task = await queue.run("sleep", "600", timeout=timeout)
        assert (task.state.outcome, task.state.cause) == (Outcome.TIMED_OUT, Cause.TIME)
        assert "the most that this agent allows" in task.state.evidence
    shorter = await queue.run("sleep", "600", timeout=0.1)
    assert shorter.state.evidence == "it ran longer than 0.1 s"


@needs_cgroups
async def test_a_death_by_the_machines_want_of_memory(
    queue: Any, start_agent: Callable[..., Any]
) -> None:
    """The agent's own cgroup stands for a machine that is too small; the task asks no limit."""
    agent = start_agent([queue]).ready()
    place = Cgroups(Path("/nonexistent"), f"test-{secrets.token_hex(4)}").attempt(
        "machine", Limits(memory=256 * MIB)
    )
    try:
        family = [agent.process.pid, *descendants(agent.process.pid)]
        for pid in family:
            Path(place.folders[0], cgroup.MEMBERS).write_text(str(pid))
        task = await queue.run(sys.executable, "-c", GREEDY)
        assert (task.state.exit_code, task.state.cause) == (-9, Cause.OOM_HOST)
        assert "for want of memory" in task.state.evidence
        if os.access("/dev/kmsg", os.R_OK):
            assert f"(pid {task.attempts[0].launch.pid}, " in task.state.evidence
        shell = await queue.run("sh", "-c", f'{sys.executable} -c "{GREEDY}"; exit $?')
        assert (shell.state.exit_code, shell.state.cause) == (137, Cause.OOM_HOST)
        assert "for want of memory" in shell.state.evidence
    finally:
        agent.close()
        for folder in place.folders:
            cgroup.remove(os.path.dirname(folder))
