"""Which GPUs this machine has, whoever made them."""

from __future__ import annotations

import logging
from pathlib import Path

from ..config import Config
from .amd import open_amd
from .choice import choose
from .ledger import FOLDER, Ledger
from .nvml import open_nvml
from .pool import Pool
from .port import Gpu, Gpus, NoGpus, Reading
from .recorded import RecordedGpus

log = logging.getLogger(__name__)


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


def open_pool(config: Config, instance: str) -> Pool:
    """The GPUs that a run of an agent gives to tasks. Raises `UsageError`."""
    gpus = open_gpus(config.gpu_readings)
    if gpus.trouble:
        log.warning("GPUs: %s", gpus.trouble)
    chosen = choose(config.gpus, gpus.devices())
    if chosen:
        log.info("GPUs for tasks: %s", ", ".join(f"{gpu.index} ({gpu.name})" for gpu in chosen))
    return Pool(
        gpus,
        chosen,
        Ledger(ledger_folder(config.gpu_readings)),
        agent=config.name,
        instance=instance,
        counts=config.queue_gpus,
        foreign=config.gpu_foreign,
    )


def ledger_folder(readings: Path | None) -> Path:
    """Where claims are entered. GPUs out of a file are no others' than those who use that file."""
    return readings.with_name(f"{readings.name}.claims") if readings else FOLDER


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
