"""The same on a real NVIDIA GPU, where this machine has one: a task's pinning, and a stranger."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from evq.agent.gpus.nvml import open_nvml
from evq.core.events import Claimed, Outcome
from evq.core.fleet.presence import decode_presence
from evq.core.fleet.samples import Sample
from evq.core.wire import decode_sample

GIB = 2**30
LOOKING = ("--sample-every", "0.1", "--report-every", "0.3")
COMPUTE = """
import ctypes
cuda = ctypes.CDLL("libcuda.so.1")
def do(function, *words):
    assert function(*words) == 0, function.__name__
device, context, memory = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
do(cuda.cuInit, 0)
do(cuda.cuDeviceGet, ctypes.byref(device), 0)
do(cuda.cuDevicePrimaryCtxRetain, ctypes.byref(context), device)
do(cuda.cuCtxSetCurrent, context)
do(cuda.cuMemAlloc_v2, ctypes.byref(memory), ctypes.c_size_t(512 << 20))
count = ctypes.c_int()
do(cuda.cuDeviceGetCount, ctypes.byref(count))
print("computes on", count.value, flush=True)
"""
"""Takes 512 MiB of the first GPU that it sees, by the driver alone."""


@pytest.fixture(scope="module")
def first() -> Iterator[str]:
    """The id of the first GPU."""
    gpus = open_nvml()
    whole = [gpu for gpu in gpus.devices() if gpu.parent is None]
    if not whole:
        pytest.skip(f"this machine has no NVIDIA GPU: {gpus.trouble or 'there is no driver'}")
    yield whole[0].id
    gpus.close()


async def device(client: Any, agent: str) -> Any:
    """The agent's only GPU, as it sees it now."""
    for value in (await client.bus.presence.all()).values():
        presence = decode_presence(value)
        if presence and presence.agent == agent and presence.free.devices:
            return presence.free.devices[0]
    return None


async def test_two_tasks_have_the_gpu_one_after_the_other(
    first: str, queue: Any, start_agent: Any, gates: Any
) -> None:
    start_agent([queue], "--gpus", "0", "--slots", "2").ready()
    (gate,) = gates(1)
    script = f"echo $CUDA_VISIBLE_DEVICES; {sys.executable} -c '{COMPUTE}'"
    one = await queue.enqueue("sh", "-c", f"{script}; {gate.wait}", gpus=1)
    await gate.reached()
    two = await queue.enqueue("sh", "-c", script, gpus=1)
    assert (await queue.run("true")).state.outcome is Outcome.COMPLETED
    assert (await queue.client.get(two)).attempts == ()
    gate.open()
    for task in (one, two):
        assert (await queue.ended(task)).state.outcome is Outcome.COMPLETED
        assert await queue.lines(task, "o") == [first, "computes on 1"]


async def test_a_stranger_is_seen_and_left_alone(
    first: str, queue: Any, start_agent: Any, until: Any
) -> None:
    agent = start_agent([queue], "--gpus", "0", "--slots", "2").ready()
    with subprocess.Popen(
        [sys.executable, "-c", COMPUTE + "input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"},
    ) as stranger:
        assert stranger.stdout and stranger.stdout.readline().startswith(b"computes")

        async def seen() -> bool:
            known = await device(queue.client, agent.name)
            return bool(known and str(stranger.pid) in known.foreign)

        await until(seen, "the stranger is seen")
        task = await queue.enqueue("true", gpus=1)
        assert (await queue.run("true")).state.outcome is Outcome.COMPLETED
        assert (await queue.client.get(task)).attempts == ()
        stranger.communicate(b"\n")
    assert (await queue.event(task, Claimed)).gpus == (first,)


async def shares_seen(queue: Any, agent: str) -> dict[str, float]:
    """The most memory of each task on GPUs, in MiB, as far as the agent has told of both."""
    most: dict[str, float] = {}
    for stored in await queue.client.bus.samples.history(f"evqsam.{agent}"):
        sample = decode_sample(stored.data)
        if isinstance(sample, Sample) and (shares := sample.shares):
            for task, figures in zip(shares.task, shares.gpu_memory, strict=True):
                if figures:
                    most[task] = max(figures[2], most.get(task, 0.0))
    return most


async def test_two_tasks_share_the_gpu_and_each_has_its_own_figures(
    first: str, queue: Any, start_agent: Any, gates: Any, until: Any
) -> None:
    agent = start_agent([queue], "--gpus", "0", "--slots", "2", *LOOKING).ready()
    both = gates(2)
    tasks = [
        await queue.enqueue(
            sys.executable, "-c", f"{COMPUTE}open('{gate.path}').read()", gpu_memory=4 * GIB
        )
        for gate in both
    ]
    for gate in both:
        await gate.reached()

    async def told() -> bool:
        seen = await shares_seen(queue, agent.name)
        return seen.keys() == set(tasks) and min(seen.values()) >= 512

    await until(told, "both have memory of the GPU")
    for gate in both:
        gate.open()
    for task in tasks:
        assert (await queue.ended(task)).state.outcome is Outcome.COMPLETED
        claimed = await queue.event(task, Claimed)
        assert (claimed.gpus, claimed.gpu_memory) == ((first,), 4 * GIB)


async def test_an_aborted_task_gives_the_memory_back(
    first: str, queue: Any, start_agent: Any, until: Any
) -> None:
    gpus = open_nvml()

    def held() -> int:
        (reading,) = [one for one in gpus.read() if one.id == first]
        assert reading.memory_used is not None
        return reading.memory_used

    before = held()
    start_agent([queue], "--gpus", "0").ready()
    # Not even the last signal is answered by a program that computes.
    script = f"trap '' TERM; {sys.executable} -c '{COMPUTE}while True: pass'"
    task = await queue.enqueue("sh", "-c", script, gpus=1, grace=0.1)
    await until(lambda: held() >= before + GIB // 2, "it has its memory")
    await queue.client.abort(task, "enough")
    assert (await queue.ended(task)).state.outcome is Outcome.ABORTED
    assert held() < before + GIB // 2
    gpus.close()
