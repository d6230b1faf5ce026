"""Which GPUs this machine has, whoever made them."""

from __future__ import annotations

from pathlib import Path

from .amd import open_amd
from .nvml import open_nvml
from .port import Gpu, Gpus, NoGpus, Reading
from .recorded import RecordedGpus


def open_gpus(readings: Path | None = None) -> Gpus:
    """The GPUs of this machine, or those that the file `readings` tells of.

    Raises `UsageError` if that file cannot be read.
    """
    if readings:
        return RecordedGpus(readings)
    found = [open_nvml(), open_amd()]
    there = [gpus for gpus in found if gpus.devices() or gpus.trouble]
    match there:
        case []:
            return NoGpus()
        case [gpus]:
            return gpus
        case several:
            return SeveralGpus(several)


class SeveralGpus:
    """The GPUs of several makers in one machine."""

    def __init__(self, parts: list[Gpus]) -> None:
        self._parts = parts

    @property
    def trouble(self) -> str:
        return "; ".join(part.trouble for part in self._parts if part.trouble)

    def devices(self) -> tuple[Gpu, ...]:
        return tuple(gpu for part in self._parts for gpu in part.devices())

    def read(self) -> tuple[Reading, ...]:
        return tuple(reading for part in self._parts for reading in part.read())

    def close(self) -> None:
        for part in self._parts:
            part.close()
