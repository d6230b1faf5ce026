"""The watch: what it sends and when, and what it does about drivers and servers that fail."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from evq.agent.config import Config
from evq.agent.gpus.port import Gpu, Gpus, NoGpus, Reading
from evq.agent.gpus.recorded import RecordedGpus
from evq.agent.machine import gpu_watch, host
from evq.agent.machine.host import Host
from evq.agent.machine.watch import MachineWatch
from evq.core import wire
from evq.core.bus.memory import MemoryBus, MemoryServer
from evq.core.fleet.samples import Sample


class Place:
    """A watch on a bus in memory, and what it says."""

    def __init__(
        self, folder: Path, gpus: Gpus, chosen: Collection[Gpu] | None = None, **settings: Any
    ) -> None:
        """`chosen` are the agent's GPUs; all, if none are named."""
        chosen = gpus.devices() if chosen is None else chosen
        self.bus = MemoryBus(MemoryServer())
        config = Config(
            queues=("q",),
            state=folder,
            cache=folder,
            name="w",
            **{"sample_every": 0.02, "report_every": 0.1} | settings,
        )
        self.watch = MachineWatch(self.bus, config, "i", gpus, chosen)  # type: ignore[arg-type]

    async def said(self) -> list[Sample]:
        found = []
        for stored in await self.bus.samples.history("evqsam.w"):
            sample = wire.decode_sample(stored.data)
            assert isinstance(sample, Sample)
            found.append(sample)
        return found

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        running = asyncio.create_task(self.watch.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


Until = Callable[..., Any]


async def first_that(place: Place, until: Until, condition: Callable[[Sample], bool]) -> Sample:
    async def found() -> Sample | None:
        return next(filter(condition, await place.said()), None)

    sample = await until(found)
    assert isinstance(sample, Sample)
    return sample


async def test_the_machine_is_told_of_again_and_again(tmp_path: Path, until: Until) -> None:
    place = Place(tmp_path, NoGpus())
    async with place.running():
        # One that was made while the machine had no time for more may be of one reading.
        last = await first_that(
            place, until, lambda sample: sample.number >= 2 and sample.readings > 1
        )
    assert (last.agent, last.instance, last.trouble) == ("w", "i", "")
    assert 0.1 <= last.seconds < 30
    machine = last.machine
    assert machine.memory and machine.memory_total and 0 < machine.memory[0] < machine.memory_total
    assert machine.disk and machine.disk_total and 0 < machine.disk[2] <= machine.disk_total
    assert machine.cpu and 0 <= machine.cpu[0] <= 100
    assert last.cores and all(0 <= core <= 100 for core in last.cores)
    assert [sample.number for sample in await place.said()][:3] == [0, 1, 2]


async def test_a_start_and_an_end_are_told_of_at_once(tmp_path: Path, until: Until) -> None:
    place = Place(tmp_path, NoGpus(), report_every=3600.0)
    async with place.running():
        await first_that(place, until, lambda sample: sample.number == 0)
        command = [sys.executable, "-c", "input()"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE)
        place.watch.started(9, "task00000001", 1, process.pid)
        sample = await first_that(place, until, lambda sample: sample.shares is not None)
        assert sample.shares and sample.shares.claim == (9,)
        process.communicate(b"\n")
        place.watch.ended(9)
        await first_that(place, until, lambda sample: sample.number == 2)
        place.watch.ended(9)  # it is not known any more


async def test_no_reports_no_thread(tmp_path: Path) -> None:
    place = Place(tmp_path, NoGpus(), report_every=0.0)
    before = set(threading.enumerate())
    async with place.running():
        place.watch.started(1, "t", 1, 1)
        await asyncio.sleep(0)
        began = {thread.name for thread in set(threading.enumerate()) - before}
        assert began.isdisjoint({"machine", "gpus"})
    assert await place.said() == []


async def test_its_threads_end_with_it(tmp_path: Path, until: Until) -> None:
    place = Place(tmp_path, GpusOfATest())
    async with place.running():
        await first_that(place, until, lambda sample: sample.number == 0)
    await until(lambda: {"machine", "gpus"}.isdisjoint(t.name for t in threading.enumerate()))


async def test_what_the_server_does_not_hear_is_missing(tmp_path: Path, until: Until) -> None:
    place = Place(tmp_path, NoGpus())
    async with place.running():
        await first_that(place, until, lambda sample: sample.number == 1)
        await place.bus.cut()
        await until(lambda: place.watch.dropped > 2)
        await place.bus.mend()
        last = (await place.said())[-1].number
        await first_that(place, until, lambda sample: sample.number > last)
        await until(lambda: place.watch.dropped == 0)
    numbers = [sample.number for sample in await place.said()]
    assert numbers == sorted(numbers)
    assert len(numbers) <= numbers[-1] + 1 - 3, "none of the dropped ones came later"


# --- GPUs -----------------------------------------------------------------------------------------


class GpusOfATest:
    """One GPU, whose driver answers when the test lets it."""

    trouble = ""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.answers.set()

    def devices(self) -> tuple[Gpu, ...]:
        return (Gpu(id="GPU-0", index=0, name="T", memory=2**30),)

    def read(self) -> tuple[Reading, ...]:
        assert self.answers.wait(60)
        return (Reading(id="GPU-0", utilisation=50.0),)

    def close(self) -> None:
        self.answers.set()


async def test_a_driver_that_hangs_holds_up_nothing(
    tmp_path: Path, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_watch, "STALE_SECONDS", 0.3)
    gpus = GpusOfATest()
    place = Place(tmp_path, gpus)
    async with place.running():
        before = await first_that(place, until, used(50))
        gpus.answers.clear()
        silent = await first_that(
            place, until, lambda sample: sample.number > before.number and not_seen(sample)
        )
        assert "has not answered for" in silent.trouble
        assert silent.machine.cpu
        await first_that(place, until, lambda sample: sample.number == silent.number + 2)
        gpus.answers.set()
        # A thread that was kept from running looks like a driver that hangs, for a moment.
        await first_that(
            place,
            until,
            lambda sample: (
                sample.number > silent.number and used(50)(sample) and not sample.trouble
            ),
        )


def used(percent: float) -> Callable[[Sample], bool]:
    def is_used(sample: Sample) -> bool:
        figure = sample.gpus and sample.gpus.utilisation[0]
        return bool(figure) and figure[2] == percent  # type: ignore[index]

    return is_used


def not_seen(sample: Sample) -> bool:
    """Whether the GPU is known, and nothing was heard of it."""
    return bool(sample.trouble and sample.gpus and sample.gpus.utilisation == (None,))


async def test_a_gpu_that_is_lost_is_told_of(tmp_path: Path, until: Until) -> None:
    file = tmp_path / "gpus.json"

    def write(*gpus: dict[str, Any]) -> None:
        partial = tmp_path / "part"
        partial.write_text(json.dumps({"gpus": gpus}))
        partial.replace(file)

    one, two = {"id": "GPU-0", "utilisation": 30}, {"id": "GPU-1", "utilisation": 60}
    write(one, two)
    place = Place(tmp_path, RecordedGpus(file))
    async with place.running():
        await first_that(place, until, used(30))
        write(one)
        sample = await first_that(
            place, until, lambda sample: bool(sample.gpus and any(sample.gpus.trouble))
        )
        assert sample.gpus
        trouble = sample.gpus.trouble
        assert trouble[0] == "" and trouble[1].startswith("lost")


async def test_only_the_agents_own_gpus_are_told_of(tmp_path: Path, until: Until) -> None:
    file = tmp_path / "gpus.json"
    gpus = [{"id": "GPU-0"}, {"id": "GPU-1"}, {"id": "MIG-1", "parent": "GPU-1"}]
    file.write_text(json.dumps({"gpus": gpus}))
    port = RecordedGpus(file)
    place = Place(tmp_path, port, [gpu for gpu in port.devices() if gpu.id == "MIG-1"])
    async with place.running():
        sample = await first_that(
            place, until, lambda sample: bool(sample.gpus and not any(sample.gpus.trouble))
        )
    assert sample.gpus and sample.gpus.id == ("GPU-1", "MIG-1")


async def test_a_broken_driver_is_told_of(tmp_path: Path, until: Until) -> None:
    place = Place(tmp_path, NoGpus("NVIDIA's driver does not answer: version mismatch"))
    async with place.running():
        sample = await first_that(place, until, lambda sample: True)
    assert sample.gpus is None
    assert sample.trouble == "NVIDIA's driver does not answer: version mismatch"


# --- the machine ----------------------------------------------------------------------------------


def test_rates_begin_with_the_second_look(tmp_path: Path) -> None:
    looked = Host((tmp_path,))
    rates = ("net_in", "net_out")
    first, second = looked.read().values, looked.read().values
    assert {first[name] for name in rates} == {None}
    assert all(value is not None and value >= 0 for value in map(second.get, rates))


def test_a_container_may_hide_disks_and_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hidden(**more: object) -> None:
        raise NotImplementedError("no /proc/diskstats") if not more else PermissionError(13, "no")

    monkeypatch.setattr(host.psutil, "disk_io_counters", hidden)
    monkeypatch.setattr(host.psutil, "net_io_counters", hidden)
    looked = Host((tmp_path,))
    looked.read()
    seen = looked.read().values
    assert seen["memory"] and not {"disk_read", "net_in"} & seen.keys()


def test_only_interfaces_that_lead_out_are_counted(tmp_path: Path) -> None:
    for name in ("lo", "eth0", "docker0", "veth1"):
        (tmp_path / name).mkdir()
    assert host.interfaces(tmp_path) == {"eth0", "docker0", "veth1"}
    (tmp_path / "eth0/device").mkdir()
    assert host.interfaces(tmp_path) == {"eth0"}
    assert host.interfaces(tmp_path / "none") == frozenset()


def test_the_fullest_file_system(tmp_path: Path) -> None:
    space = host.fullest((tmp_path, tmp_path / "none"))
    assert space and 0 < space[0] <= space[1]
    assert host.fullest((tmp_path / "none",)) is None


def test_sensors(monkeypatch: pytest.MonkeyPatch) -> None:
    class Sensor:
        def __init__(self, current: float) -> None:
            self.current = current

    found = {"acpitz": [Sensor(20)], "coretemp": [Sensor(50), Sensor(61.5)], "nvme": [Sensor(90)]}
    monkeypatch.setattr(host.psutil, "sensors_temperatures", lambda: found, raising=False)
    assert host.temperature() == 61.5
    found.clear()
    assert host.temperature() is None
    monkeypatch.delattr(host.psutil, "sensors_temperatures")
    assert host.temperature() is None
