"""A real agent and GPUs out of a file: what its tasks are told, and who has to wait for whom."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evq.core.events import AgentUp, Claimed, Outcome
from evq.core.fleet.presence import decode_presence

GIB = 2**30
TELL = 'echo "$CUDA_VISIBLE_DEVICES $NVIDIA_VISIBLE_DEVICES $CUDA_DEVICE_ORDER $EVQ_GPU_MEMORY"'


class Recording:
    """The file of GPUs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.options = ("--gpu-readings", str(path))

    def write(self, *gpus: dict[str, Any]) -> None:
        """From now on these are the GPUs, and what they do."""
        told = [{"id": f"GPU-{n}", "memory": 80 * GIB} | gpu for n, gpu in enumerate(gpus)]
        partial = self.path.with_suffix(".part")
        partial.write_text(json.dumps({"gpus": told}))
        partial.replace(self.path)


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return Recording(tmp_path / "gpus.json")


async def test_a_task_is_told_its_gpus_and_no_others(
    queue: Any, start_agent: Any, recording: Recording
) -> None:
    recording.write({}, {}, {})
    agent = start_agent([queue], *recording.options).ready()
    up = await queue.agent_event(agent.name, AgentUp)
    assert (up.gpus, up.slots) == (("GPU-0", "GPU-1", "GPU-2"), 3)
    two = await queue.run("sh", "-c", TELL, gpus=2, variables={"CUDA_VISIBLE_DEVICES": "0,1,2"})
    assert await queue.lines(two.id, "o") == ["GPU-0,GPU-1 GPU-0,GPU-1 PCI_BUS_ID "]
    assert two.attempts[0].gpus == ("GPU-0", "GPU-1") and two.attempts[0].gpu_memory is None
    none = await queue.run("sh", "-c", TELL)
    assert await queue.lines(none.id, "o") == [" none PCI_BUS_ID "]
    share = await queue.run("sh", "-c", TELL, gpu_memory=20 * GIB)
    assert await queue.lines(share.id, "o") == [f"GPU-0 GPU-0 PCI_BUS_ID {20 * GIB}"]
    assert share.attempts[0].gpu_memory == 20 * GIB


async def test_a_machine_without_gpus_tells_nothing(
    queue: Any, start_agent: Any, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NVIDIA_VISIBLE_DEVICES", raising=False)
    recording.write()
    start_agent([queue], *recording.options).ready()
    task = await queue.run("sh", "-c", TELL, variables={"CUDA_VISIBLE_DEVICES": "mine"})
    assert await queue.lines(task.id, "o") == ["mine   "]


async def test_the_count_of_a_queue(
    queue: Any, other_queue: Any, start_agent: Any, recording: Recording
) -> None:
    recording.write({}, {}, {}, {})
    counts = f"{queue.name}=2,{other_queue.name}=1-8"
    start_agent([queue, other_queue], *recording.options, "--queue-gpus", counts).ready()
    dual, spare = await queue.run("true"), await other_queue.run("true")
    assert len(dual.attempts[0].gpus) == 2 and len(spare.attempts[0].gpus) == 4


async def test_what_does_not_fit_waits_and_holds_up_nobody(
    queue: Any, start_agent: Any, recording: Recording, gates: Callable[[int], list[Any]]
) -> None:
    recording.write({}, {})
    start_agent([queue], *recording.options, "--slots", "4").ready()
    (gate,) = gates(1)
    first = await queue.enqueue("sh", "-c", gate.wait, gpus=1)
    await gate.reached()
    both = await queue.enqueue("true", gpus=2)
    assert (await queue.run("true", gpus=1)).state.outcome is Outcome.COMPLETED
    assert (await queue.run("true")).state.outcome is Outcome.COMPLETED
    assert (await queue.client.get(both)).attempts == ()
    gate.open()
    await queue.ended(first)
    assert (await queue.ended(both)).attempts[0].gpus == ("GPU-0", "GPU-1")


async def test_a_strangers_gpu_is_left_alone_until_it_is_free(
    queue: Any, start_agent: Any, recording: Recording
) -> None:
    carol = {"processes": [{"user": "carol", "name": "python", "memory": 6 * GIB}]}
    recording.write(carol, {"trouble": "lost: off the bus"})
    agent = start_agent([queue], *recording.options).ready()
    task = await queue.enqueue("true", gpus=1)
    assert (await queue.run("true")).state.outcome is Outcome.COMPLETED
    assert (await queue.client.get(task)).attempts == ()
    values = await queue.client.bus.presence.all()
    (presence,) = (
        found
        for value in values.values()
        if (found := decode_presence(value)) and found.agent == agent.name
    )
    stranger, lost = presence.free.devices
    assert (stranger.foreign, lost.broken) == ("carol python 6GiB", "lost: off the bus")
    recording.write({}, {"trouble": "lost: off the bus"})
    assert (await queue.event(task, Claimed)).gpus == ("GPU-0",)


async def test_two_agents_share_a_machine(
    queue: Any, other_queue: Any, start_agent: Any, recording: Recording, gates: Any
) -> None:
    recording.write({}, {})
    for served in (queue, other_queue):
        start_agent([served], *recording.options).ready()
    one, other = gates(2)
    first = await queue.enqueue("sh", "-c", one.wait, gpus=1)
    await one.reached()
    second = await other_queue.enqueue("sh", "-c", other.wait, gpus=1)
    await other.reached()
    held = [(await queue.client.get(task)).live.gpus for task in (first, second)]
    assert held == [("GPU-0",), ("GPU-1",)]
    third = await other_queue.enqueue("true", gpus=1)
    one.open()
    assert (await other_queue.event(third, Claimed)).gpus == ("GPU-0",)
    other.open()
    await queue.ended(first)
    await other_queue.ended(second)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--gpus", "7"), "there is no GPU 7 here"),
        (("--gpus", "0-"), "no index, no range"),
        (("--gpu-readings", "/nowhere/gpus.json"), "holds no readings of GPUs"),
    ],
)
async def test_gpus_that_are_not_there(
    queue: Any, start_agent: Any, recording: Recording, words: tuple[str, ...], said: str
) -> None:
    recording.write({}, {})
    agent = start_agent([queue], *recording.options, *words)
    assert await agent.over() == 2
    assert said in agent.said and "Traceback" not in agent.said
