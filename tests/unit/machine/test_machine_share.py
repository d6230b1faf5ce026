"""What an attempt takes: real processes, whose work and memory are known."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from evq.agent.limits.cgroups import Cgroups
from evq.agent.machine.accounts import Account, account_of
from evq.agent.machine.share import Share
from evq.agent.supervision import cgroup
from evq.core.spec import Limits

MEBI = 2**20

# Says the pid of a command as a supervisor would, and lives on as its parent. The command obeys:
# it works so many seconds of processor time, or has a child that does.
SUPERVISOR = """
import os, sys, time
def work(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
child = os.fork()
if child:
    os.wait()
    print("gone", flush=True)
    time.sleep(1000)
held = bytearray(100 * 2**20)
print(os.getpid(), flush=True)
for word in sys.stdin:
    kind, seconds = word.split()
    if kind == "child":
        child = os.fork()
        if child == 0:
            work(float(seconds))
            os._exit(0)
        os.wait()
    elif kind == "keep":
        if os.fork() == 0:
            work(float(seconds))
            print("kept", flush=True)
            time.sleep(1000)
            os._exit(0)
        continue
    else:
        work(float(seconds))
    print("done", flush=True)
"""


class Command:
    """A command below a supervisor's stand-in."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout and process.stdin
        self._said, self._told = process.stdout, process.stdin
        self.pid = int(self._said.readline())

    def work(self, kind: str, seconds: float) -> None:
        """Have it work; returns when it has."""
        self._told.write(f"{kind} {seconds}\n")
        self._told.flush()
        assert self._said.readline()

    def kill(self) -> None:
        """Return when its parent has waited for it, so that it is no process any more."""
        os.kill(self.pid, signal.SIGKILL)
        assert self._said.readline() == "gone\n"


@contextmanager
def started(*cgroups: str) -> Iterator[Command]:
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=(lambda: cgroup.enter(cgroups)) if cgroups else None,
    )
    try:
        yield Command(process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


class Clock:
    """Seconds as a test wants them."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("kind", ["own", "child", "keep"])
def test_the_work_of_all_its_processes_counts_once(kind: str) -> None:
    clock = Clock()
    with started() as command:
        share = Share(1, "t", 1, command.pid, clock)
        first = share.read()
        assert first and first.cpu is None
        command.work(kind, 0.3)
        clock.now += 1.0
        second = share.read()
        clock.now += 10.0
        third = share.read()
    assert second and second.cpu is not None and 25 <= second.cpu <= 60
    assert third and third.cpu is not None and third.cpu < 5
    assert (len(second.pids) == 2) == (kind == "keep")
    assert command.pid in second.pids
    assert 100 * MEBI <= first.memory < 150 * MEBI


def test_nobody_takes_more_than_there_is() -> None:
    clock = Clock()
    with started() as command:
        share = Share(1, "t", 1, command.pid, clock)
        share.read()
        command.work("own", 0.3)
        clock.now += 0.001
        seen = share.read()
    assert seen and seen.cpu == 100 * (os.cpu_count() or 1)


def test_a_command_that_is_gone_has_no_share() -> None:
    clock = Clock()
    with started() as command:
        share = Share(1, "t", 1, command.pid, clock)
        assert share.read()
        command.kill()
        assert share.read() is None
        assert Share(2, "t", 1, command.pid, clock).read() is None


# --- with a cgroup of its own -------------------------------------------------------------------


@pytest.fixture
def cgroups(tmp_path: Path) -> Iterator[Cgroups]:
    made = Cgroups(tmp_path, "share-test")
    if "memory" in made.lacking:
        pytest.skip(f"no cgroups here: {made.lacking['memory']}")
    made.sweep()
    yield made
    made.close()


async def test_the_kernels_account_is_used_where_there_is_one(cgroups: Cgroups) -> None:
    clock = Clock()
    own = cgroups.attempt("t-1", Limits(memory=2**30))
    with started(*own.folders) as command:
        account = account_of(command.pid)
        assert account.memory_folder in own.folders
        # Its parent is in there, too.
        assert command.pid in (account.members() or ())
        share = Share(1, "t", 1, command.pid, clock)
        first = share.read()
        command.work("own", 0.3)
        clock.now += 1.0
        seen = share.read()
    await own.remove()
    assert first and seen
    assert seen.cpu is not None and 25 <= seen.cpu <= 60
    assert 100 * MEBI <= seen.memory < 150 * MEBI
    assert account.memory() is None, "a cgroup that is gone tells nothing"


def test_who_shares_our_cgroup_has_no_account_of_its_own() -> None:
    with started() as command:
        assert account_of(command.pid) == Account(version=1)
        assert account_of(command.pid).members() is None


VERSION_2 = {
    "cpu.stat": "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n",
    "memory.current": "300\n",
    "memory.stat": "anon 200\nfile 100\ninactive_file 60\n",
    "cgroup.procs": "7\n8\n",
}
VERSION_1 = {
    "cpuacct.usage": "2500000000\n",
    "memory.usage_in_bytes": "500\n",
    "memory.stat": "inactive_file 1\ntotal_inactive_file 100\n",
    "cgroup.procs": "9\n",
}


def test_the_files_of_both_versions(tmp_path: Path) -> None:
    folders = []
    for version, files in ((1, VERSION_1), (2, VERSION_2)):
        folder = tmp_path / str(version)
        folder.mkdir()
        folders.append(str(folder))
        for name, text in files.items():
            (folder / name).write_text(text)
    one, two = folders
    first, second = Account(one, one, 1), Account(two, two, 2)
    assert (first.cpu_seconds(), first.memory(), first.members()) == (2.5, 400, [9])
    assert (second.cpu_seconds(), second.memory(), second.members()) == (1.5, 240, [7, 8])


def test_where_a_process_has_its_cgroups(tmp_path: Path) -> None:
    proc, unified = tmp_path / "proc", tmp_path / "unified"
    for pid, path in (("self", "/agent"), ("42", "/agent/evq-i/t-1")):
        (proc / pid).mkdir(parents=True)
        (proc / pid / "cgroup").write_text(f"0::{path}\n")
    (proc / "self/mountinfo").write_text(f"30 20 0:26 / {unified} rw - cgroup2 cgroup2 rw\n")
    folder = unified / "agent/evq-i/t-1"
    folder.mkdir(parents=True)
    (folder / "memory.current").write_text("1")
    assert account_of(42, proc) == Account(str(folder), str(folder), 2)
    (proc / "42/cgroup").write_text("0::/agent\n")
    assert account_of(42, proc).members() is None
