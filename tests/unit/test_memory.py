"""What the kernel's own words prove about a death by memory, and what they do not."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from evq.agent.limits.memory import CHOSEN, KILLED_BY_KERNEL, MemoryWatch

ANCESTOR = (
    b"3,771,4711000000,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,"
    b"mems_allowed=0,oom_memcg=/evq-5/k3-1,task_memcg=/evq-5/k3-1,task=py,thon (x,pid=4711,uid=0\n"
)
END = (
    b"3,772,4711000001,-;Memory cgroup out of memory: Killed process 4711 (py,thon (x) "
    b"total-vm:542300kB, anon-rss:63000kB, file-rss:4kB, shmem-rss:0kB, UID:0 pgtables:1kB\n"
)


def test_the_lines_of_the_kernels_log() -> None:
    chosen, ended = CHOSEN.search(ANCESTOR), KILLED_BY_KERNEL.search(END)
    assert chosen and chosen.groups() == (b"/evq-5/k3-1", b"py,thon (x", b"4711")
    assert ended and ended.groups() == (b"4711", b"py,thon (x", b"63000")


class Machine:
    """A /proc whose counter a test moves; the kernel's log is closed, as to most users."""

    def __init__(self, folder: Path) -> None:
        (folder / "self/ns").mkdir(parents=True)
        (folder / "self/ns/pid").touch()
        self._vmstat = folder / "vmstat"
        self.count(3)
        self.watch = MemoryWatch(proc=folder, kernel_log=folder / "none")

    def count(self, number: int) -> None:
        self._vmstat.write_text(f"nr_free_pages 5\noom_kill {number}\nother 7\n")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_status_alone_proves_nothing(machine: Machine) -> None:
    began = time.monotonic()
    assert machine.watch.evidence(-9, 5, began) == machine.watch.evidence(137, 5, began) == ""


def test_a_kill_in_the_attempts_time_is_evidence_if_the_command_was_killed(
    machine: Machine,
) -> None:
    began = time.monotonic()
    machine.count(4)
    assert "ended 1 process of this machine" in machine.watch.evidence(-9, 5, began)
    assert machine.watch.evidence(1, 5, began) == machine.watch.evidence(-11, 5, began) == ""


def test_a_kill_before_the_attempt_is_none(machine: Machine) -> None:
    machine.count(4)
    machine.watch.look()
    assert machine.watch.evidence(-9, 5, time.monotonic()) == ""


def test_many_looks_forget_nothing_that_is_asked_for(machine: Machine) -> None:
    began = time.monotonic()
    for number in (3, 3, 3, 4, 4, 4, 4):
        machine.count(number)
        machine.watch.look()
    assert machine.watch.kills_since(began) == 1
    assert machine.watch.kills_since(time.monotonic()) == 0


@pytest.mark.skipif(not os.access("/dev/kmsg", os.R_OK), reason="the kernel's log is closed to us")
def test_the_real_log_names_nobody_who_was_not_killed() -> None:
    watch = MemoryWatch()
    watch.look()
    assert watch.evidence(-9, os.getpid(), time.monotonic()) == ""
    watch.close()
