"""The pool: what it gives, what it takes back, and what keeps it from giving."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evq.agent.gpus.ledger import Claim, Ledger, Left
from evq.agent.gpus.pool import NOTHING, Pool
from evq.agent.gpus.recorded import RecordedGpus
from evq.core.fleet.resources import Request
from evq.core.fleet.served import GpuCount

GIB = 2**30


class Machine:
    """Four recorded GPUs in a file, and pools of agents on them."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "gpus.json"
        self.ledger = folder / "ledger"
        self.write()

    def write(self, **changes: dict[str, Any]) -> None:
        """The GPUs as they are now: `gpu2={"trouble": "lost"}`."""
        gpus = [
            {"id": f"GPU-{n}", "memory": 80 * GIB} | changes.get(f"gpu{n}", {}) for n in range(4)
        ]
        partial = self.file.with_suffix(".part")
        partial.write_text(json.dumps({"gpus": gpus}))
        partial.replace(self.file)

    def pool(self, instance: str = "i1", **counts: GpuCount) -> Pool:
        port = RecordedGpus(self.file)
        return Pool(
            port,
            port.devices(),
            Ledger(self.ledger),
            agent=f"agent of {instance}",
            instance=instance,
            counts=counts,
            foreign=200 * 2**20,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def taken(pool: Pool) -> list[int]:
    return [device.index for device in pool.free if not device.takes(None)]


def test_what_is_given_is_free_for_nobody_else_on_the_machine(machine: Machine) -> None:
    first, second = machine.pool("i1"), machine.pool("i2")
    two = first.reserve(Request(2), "q", "t1", 1)
    assert two and two.ids == ("GPU-0", "GPU-1") and taken(first) == [0, 1]
    one = second.reserve(Request(1), "q", "t2", 2)
    assert one and one.ids == ("GPU-2",)
    assert first.reserve(Request(2), "q", "t3", 3) is None
    assert taken(first) == [0, 1, 2], "the refusal showed what the other agent has"
    second.release(one)
    assert first.reserve(Request(2), "q", "t3", 3)


def test_what_is_given_back_is_free_at_once(machine: Machine) -> None:
    pool = machine.pool()
    given = pool.reserve(Request(2), "q", "t1", 1)
    assert given
    given.confirm(7)
    pool.look_at_claims()
    pool.release(given)
    assert taken(pool) == []


def test_what_the_log_was_not_told_of_is_not_free(machine: Machine) -> None:
    pool = machine.pool()
    given = pool.reserve(Request(2), "q", "t1", 1)
    assert given
    pool.release(given, told=False)
    assert taken(pool) == [0, 1]
    assert [left.claim.task for left in pool.left] == ["t1"]


def test_a_task_that_wants_no_gpu_costs_no_entry(machine: Machine) -> None:
    pool = machine.pool()
    assert pool.reserve(Request(cpus=2.0), "q", "t1", 1) is NOTHING
    pool.release(NOTHING)
    assert [path.name for path in machine.ledger.iterdir()] == ["lock"]


def test_the_count_of_a_queue_is_for_tasks_that_ask_for_none(machine: Machine) -> None:
    pool = machine.pool(dual=GpuCount(2, 2), spare=GpuCount(1, 4))
    dual = pool.reserve(Request(), "dual", "t1", 1)
    own = pool.reserve(Request(1), "dual", "t2", 2)
    assert dual and own and (len(dual.ids), len(own.ids)) == (2, 1)
    spare = pool.reserve(Request(), "spare", "t3", 3)
    assert spare and spare.ids == ("GPU-3",), "all that was left"
    assert pool.reserve(Request(), "spare", "t4", 4) is None
    assert pool.wanted(Request(), "dual").gpus == 2


def test_shares_of_a_gpu_are_counted_by_their_memory(machine: Machine) -> None:
    pool = machine.pool()
    share = Request(1, 30 * GIB)
    first, second, third = (pool.reserve(share, "q", f"t{n}", n) for n in (1, 2, 3))
    assert first and second and third
    assert (first.ids, second.ids, third.ids) == (("GPU-0",), ("GPU-0",), ("GPU-1",))
    assert pool.free[0].free_memory == 20 * GIB and not pool.free[0].held
    whole = pool.reserve(Request(2), "q", "t4", 4)
    assert whole and whole.ids == ("GPU-2", "GPU-3")
    assert pool.reserve(Request(1), "q", "t5", 5) is None
    pool.release(third)
    assert pool.reserve(Request(1), "q", "t5", 5)


# --- what others do -------------------------------------------------------------------------------


async def look(pool: Pool) -> bool:
    """What a look at the machine as it is now finds; whether there was anything new."""
    news: list[bool] = []

    async def changed() -> None:
        news.append(True)

    async def settle(left: Left) -> bool:
        return False

    pool.hear_readings(pool.port.read())
    await pool.look(changed, settle)
    return bool(news)


async def test_a_gpu_that_a_stranger_uses_is_seen_and_skipped(machine: Machine) -> None:
    machine.write(gpu0={"processes": [{"user": "carol", "name": "python", "memory": 6 * GIB}]})
    pool = machine.pool()
    assert pool.free[0].foreign == "carol python 6GiB"
    assert pool.offer[0].foreign == "", "it is ours when she has finished"
    given = pool.reserve(Request(3), "q", "t1", 1)
    assert given and given.ids == ("GPU-1", "GPU-2", "GPU-3")
    machine.write()
    pool.hear_readings(pool.port.read())
    assert pool.reserve(Request(1), "q", "t2", 2)


def test_what_a_desktop_takes_is_nobodys_use(machine: Machine) -> None:
    machine.write(
        gpu0={"processes": [{"user": "ann", "memory": 100 * 2**20}]},
        gpu1={"processes": [{"user": "ann", "memory": None}]},
    )
    pool = machine.pool()
    assert taken(pool) == [1], "what cannot be measured counts"


def test_a_process_of_the_task_that_has_the_gpu_is_no_stranger(machine: Machine) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={"EVQ_TASK_ID": "t1"}
    ) as process:
        pool = machine.pool()
        pool.reserve(Request(1), "q", "t1", 1)
        used = {"processes": [{"pid": process.pid, "memory": 9 * GIB}]}
        machine.write(gpu0=used, gpu1=used)
        pool.hear_readings(pool.port.read())
        assert pool.free[0].foreign == ""
        assert f"pid {process.pid}" in pool.free[1].foreign, "it has no business there"
        process.communicate(b"\n")
        pool.hear_readings(pool.port.read())
        assert pool.free[1].foreign == "", "it has ended since the reading"


def test_a_broken_gpu_is_given_to_nobody(machine: Machine) -> None:
    machine.write(gpu1={"trouble": "lost: off the bus"})
    pool = machine.pool()
    assert pool.free[1].broken == "lost: off the bus"
    given = pool.reserve(Request(3), "q", "t1", 1)
    assert given and "GPU-1" not in given.ids


def test_a_drained_gpu_is_given_to_nobody(machine: Machine) -> None:
    pool = machine.pool()
    pool.drain({"GPU-0": "new fans", "GPU-2": "new fans"})
    assert taken(pool) == [0, 2] and pool.free[0].drained == "new fans"
    pool.drain({"GPU-2": "new fans"})
    assert taken(pool) == [2]


def test_an_agent_that_holds_up_the_ledger_is_not_waited_for(machine: Machine) -> None:
    pool = machine.pool()
    with (machine.ledger / "lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert pool.reserve(Request(1), "q", "t1", 1) is None
        assert all("ledger" in device.broken for device in pool.free)
    pool.look_at_claims()
    assert pool.reserve(Request(1), "q", "t1", 1)


# --- the dead -------------------------------------------------------------------------------------

RESERVE = """
import sys
from pathlib import Path
from evq.agent.gpus.ledger import Claim, Ledger
with Ledger(Path(sys.argv[1])).open() as ledger:
    held = ledger.write(Claim(task="t1", hint=7, agent="a", instance="dead", gpus=("GPU-0",)))
held.confirm(9)
print("held", flush=True)
input()
"""


def killed(argv: Sequence[str]) -> None:
    """Run it until it says something, and kill it -9."""
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout and process.stdout.readline()
    process.kill()
    process.communicate()


async def test_what_a_dead_agent_had_is_free_when_the_log_says_so(machine: Machine) -> None:
    killed([sys.executable, "-c", RESERVE, str(machine.ledger)])
    pool = machine.pool()
    assert taken(pool) == [0]
    (left,) = pool.left
    assert (left.claim.task, left.claim.hint, left.claim.token) == ("t1", 7, 9)
    assert not await look(pool) and taken(pool) == [0], "the log does not say so yet"

    async def changed() -> None:
        return None

    async def settled(left: Left) -> bool:
        return left.claim.instance == "dead"

    await pool.look(changed, settled)
    assert taken(pool) == [] and pool.left == []
    assert pool.reserve(Request(4), "q", "t2", 8)


def test_a_supervisors_descriptor_outlives_the_agents(machine: Machine) -> None:
    ledger = Ledger(machine.ledger)
    with ledger.open() as opened:
        held = opened.write(Claim(task="t", hint=1, agent="a", instance="i", gpus=("GPU-0",)))
    supervisors = os.dup(held.descriptor)
    os.close(held.descriptor)
    with ledger.open() as opened:
        assert [claim.task for claim in opened.held] == ["t"] and not opened.left
    os.close(supervisors)
    with ledger.open() as opened:
        assert not opened.held and [left.claim.task for left in opened.left] == ["t"]


def test_what_was_not_written_to_its_end_claims_nothing(machine: Machine) -> None:
    ledger = Ledger(machine.ledger)
    with ledger.open():
        (machine.ledger / "i-1.claim").write_text('{"task": "t')
    with ledger.open() as opened:
        assert opened.claims == []
    assert not (machine.ledger / "i-1.claim").exists()
