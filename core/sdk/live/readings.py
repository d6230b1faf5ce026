"""What an agent's last sample says of its machine, its GPUs and its tasks; null where it is not
known. Shares are in percent, memory in bytes, temperatures in °C, power in watts."""

from __future__ import annotations

import msgspec

from ...fleet.resources import MEBI
from ...fleet.samples import Figure, Sample


class GpuReading(msgspec.Struct, frozen=True):
    """The means of one GPU, and what is wrong with it, in words."""

    utilisation: float | None = None
    memory: float | None = None
    temperature: float | None = None
    power: float | None = None
    trouble: str = ""


class ShareReading(msgspec.Struct, frozen=True):
    """The means of one attempt; `cpu` is in percent of one processor."""

    cpu: float | None = None
    memory: float | None = None
    gpu: float | None = None
    gpu_memory: float | None = None


def cpu_of(sample: Sample | None) -> float | None:
    """The machine's load, in percent of all its processors."""
    return _mean(sample.machine.cpu) if sample else None


def memory_of(sample: Sample | None) -> float | None:
    """What of the machine's memory is taken, in percent."""
    if sample is None or not sample.machine.memory_total or sample.machine.memory is None:
        return None
    return 100 * sample.machine.memory[0] / sample.machine.memory_total


def gpu_of(sample: Sample | None, id: str) -> GpuReading:
    """One GPU, by its id."""
    gpus = sample.gpus if sample else None
    if gpus is None or id not in gpus.id:
        return GpuReading()
    place = gpus.id.index(id)
    return GpuReading(
        _mean(gpus.utilisation[place]),
        _bytes(gpus.memory[place]),
        _mean(gpus.temperature[place]),
        _mean(gpus.power[place]),
        gpus.trouble[place],
    )


def utilisation_of(sample: Sample | None) -> float | None:
    """The mean utilisation of all its GPUs."""
    gpus = sample.gpus if sample else None
    known = [one[0] for one in gpus.utilisation if one] if gpus else []
    return sum(known) / len(known) if known else None


def share_of(sample: Sample | None, task: str, attempt: int) -> ShareReading:
    """One attempt that runs on the machine."""
    shares = sample.shares if sample else None
    for place, name in enumerate(shares.task if shares else ()):
        assert shares is not None
        if (name, shares.attempt[place]) == (task, attempt):
            return ShareReading(
                _mean(shares.cpu[place]),
                _bytes(shares.memory[place]),
                _mean(shares.gpu[place]),
                _bytes(shares.gpu_memory[place]),
            )
    return ShareReading()


def _mean(figure: Figure | None) -> float | None:
    return figure[0] if figure else None


def _bytes(figure: Figure | None) -> float | None:
    return figure[0] * MEBI if figure else None
