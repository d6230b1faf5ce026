"""The port to GPUs: the same on recorded readings, on NVIDIA's driver and on AMD's.

The drivers are doubles (see `gpu_doubles`), and the real one where this machine has it.
"""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evq.agent.gpus import amd, nvml
from evq.agent.gpus.find import SeveralGpus, open_gpus
from evq.agent.gpus.nvml import open_nvml
from evq.agent.gpus.port import Gpus, NoGpus, divided
from evq.agent.gpus.recorded import RecordedGpus
from evq.core.errors import UsageError

from . import gpu_doubles as doubles
from .gpu_doubles import GIB, Card

KINDS = ("recorded", "nvml double", "amd double")


class Machine:
    """Two GPUs behind one of the implementations, whose fate is in our hands."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.cards = [Card("GPU-a", processes=[(os.getpid(), 2 * GIB)]), Card("GPU-b")]
        self._file = folder / "gpus.json"
        self.gpus = self._open()

    def _open(self) -> Gpus:
        if self.kind == "nvml double":
            return nvml.started(doubles.Pynvml(self.cards))
        if self.kind == "amd double":
            return amd.started(doubles.Amdsmi(self.cards))
        self.write()
        return RecordedGpus(self._file)

    def write(self) -> None:
        """Tell the file of readings what the cards are like now."""
        user = pwd.getpwuid(os.getuid()).pw_name
        gpus = [
            {
                "id": card.uuid,
                "memory": card.memory,
                "utilisation": 97,
                "memory_utilisation": 41,
                "memory_used": card.used,
                "temperature": 64,
                "power": 380.123,
                "clock": 1410,
                "processes": [
                    {"pid": pid, "memory": used, "user": user} for pid, used in card.processes
                ],
                "trouble": "lost" if card.lost else "",
            }
            for card in self.cards
        ]
        partial = self._file.with_suffix(".partial")
        partial.write_text(json.dumps({"gpus": gpus}))
        partial.replace(self._file)

    def lose(self, number: int) -> None:
        """The GPU falls off the bus."""
        self.cards[number].lost = True
        self.write()


@pytest.fixture(params=KINDS)
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    return Machine(request.param, tmp_path)


@pytest.fixture(params=(*KINDS, "nvml"))
def gpus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gpus]:
    """Each implementation, the real driver among them where there is one."""
    if request.param != "nvml":
        yield Machine(request.param, tmp_path).gpus
        return
    real = open_nvml()
    if not real.devices():
        pytest.skip(f"this machine has no NVIDIA GPU: {real.trouble or 'there is no driver'}")
    yield real
    real.close()


def test_devices_are_named_once_and_in_order(gpus: Gpus) -> None:
    devices = gpus.devices()
    assert devices and len({gpu.id for gpu in devices}) == len(devices)
    assert [gpu.index for gpu in devices] == sorted(gpu.index for gpu in devices)
    assert all(gpu.id and gpu.name and gpu.memory > 0 for gpu in devices)
    assert gpus.devices() == devices and gpus.trouble == ""


def test_each_device_has_a_reading_within_its_bounds(gpus: Gpus) -> None:
    readings = gpus.read()
    assert [one.id for one in readings] == [gpu.id for gpu in gpus.devices()]
    for gpu, reading in zip(gpus.devices(), readings, strict=True):
        assert reading.trouble == ""
        assert reading.memory_used is not None and 0 <= reading.memory_used <= gpu.memory
        assert reading.utilisation is None or 0 <= reading.utilisation <= 100
        assert reading.temperature is None or 0 < reading.temperature < 130
        assert reading.power is None or 0 < reading.power < 2000


def test_readings_are_in_our_units(machine: Machine) -> None:
    reading = machine.gpus.read()[0]
    assert reading.utilisation == 97
    assert reading.memory_used == 3 * GIB
    assert reading.temperature == 64
    assert reading.power == pytest.approx(380, abs=0.2)
    assert reading.clock == 1410


def test_a_process_is_told_with_its_owner(machine: Machine) -> None:
    first, second = machine.gpus.read()
    (process,) = first.processes
    assert (process.pid, process.memory) == (os.getpid(), 2 * GIB)
    assert process.user == pwd.getpwuid(os.getuid()).pw_name
    assert second.processes == ()


def test_a_lost_gpu_says_so_and_the_other_goes_on(machine: Machine) -> None:
    before = machine.gpus.devices()
    machine.lose(1)
    first, second = machine.gpus.read()
    assert first.trouble == "" and first.utilisation == 97
    assert second.trouble and second.utilisation is None
    assert machine.gpus.devices() == before


def test_nobody_has_to_fear_the_end(machine: Machine) -> None:
    machine.gpus.close()


# --- what only one of them has ----------------------------------------------------------------


def test_a_broken_driver_has_a_name_and_no_devices() -> None:
    mismatch = doubles.NVMLError_LibRmVersionMismatch("Driver/library version mismatch")
    for gpus in (
        nvml.started(doubles.Pynvml([], mismatch)),
        amd.started(doubles.Amdsmi([], doubles.AmdSmiException("AMDSMI_STATUS_INIT_ERROR"))),
    ):
        assert isinstance(gpus, NoGpus)
        assert "does not answer" in gpus.trouble
        assert gpus.devices() == () and gpus.read() == ()


def test_no_driver_is_no_trouble() -> None:
    missing = doubles.NVMLError_LibraryNotFound("NVML Shared Library Not Found")
    assert nvml.started(doubles.Pynvml([], missing)).trouble == ""


def test_a_gpu_that_is_lost_from_the_beginning_is_told() -> None:
    gpus = nvml.started(doubles.Pynvml([Card("GPU-a", lost=True), Card("GPU-b")]))
    assert [gpu.id for gpu in gpus.devices()] == ["GPU-b"]
    assert gpus.devices()[0].index == 1
    assert "GPU 0" in gpus.trouble


def test_instances_follow_their_gpu() -> None:
    parts = [Card(f"MIG-{n}", memory=20 * GIB, used=GIB, instance=True) for n in range(2)]
    parts[1].processes.append((os.getpid(), None))
    gpus = nvml.started(doubles.Pynvml([Card("GPU-a", instances=parts), Card("GPU-b")]))
    devices = gpus.devices()
    assert [(gpu.id, gpu.parent, gpu.index) for gpu in devices] == [
        ("GPU-a", None, 0),
        ("MIG-0", "GPU-a", 0),
        ("MIG-1", "GPU-a", 0),
        ("GPU-b", None, 1),
    ]
    assert divided(devices) == {"GPU-a"}
    readings = {one.id: one for one in gpus.read()}
    assert readings["MIG-0"].utilisation is None and readings["MIG-0"].memory_used == GIB
    assert readings["MIG-1"].processes[0].memory is None


def test_a_recorded_driver_breaks_and_comes_back(tmp_path: Path) -> None:
    machine = Machine("recorded", tmp_path)
    (tmp_path / "gpus.json").write_text('{"trouble": "the driver was upgraded"}')
    assert machine.gpus.trouble == "the driver was upgraded"
    assert {one.trouble for one in machine.gpus.read()} == {"the driver was upgraded"}
    machine.write()
    assert machine.gpus.trouble == "" and machine.gpus.read()[0].utilisation == 97


def test_recorded_utilisations_take_turns(tmp_path: Path) -> None:
    (tmp_path / "gpus.json").write_text('{"gpus": [{"id": "GPU-0", "utilisation": [10, 20]}]}')
    gpus = open_gpus(tmp_path / "gpus.json")
    assert {gpus.read()[0].utilisation for _ in range(2)} == {10, 20}


def test_a_file_that_holds_no_readings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gpus.json").write_text('{"gpus": [{"name": "nameless"}]}')
    with pytest.raises(UsageError, match="holds no readings of GPUs"):
        open_gpus(tmp_path / "gpus.json")
    with pytest.raises(UsageError, match="holds no readings of GPUs"):
        open_gpus(tmp_path / "missing.json")


def test_gpus_of_two_makers_are_told_together() -> None:
    both: list[Callable[[], Gpus]] = [
        lambda: nvml.started(doubles.Pynvml([Card("GPU-a")])),
        lambda: amd.started(doubles.Amdsmi([Card("amd-a")])),
    ]
    gpus = SeveralGpus([one() for one in both])
    assert [(gpu.id, gpu.vendor) for gpu in gpus.devices()] == [
        ("GPU-a", "nvidia"),
        ("amd-a", "amd"),
    ]
    assert len(gpus.read()) == 2 and gpus.trouble == ""
