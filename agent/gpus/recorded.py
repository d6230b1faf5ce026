"""GPUs out of a file: for trying evq without a GPU, for tests and for benchmarks.

The file is read again whenever it changes, so that a GPU can be lost and a stranger can come
while an agent runs. docs/gpus.md has the format, examples/gpus.json an example.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from ...core.errors import UsageError
from .port import Gpu, GpuProcess, Reading, Vendor


class RecordedGpu(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A GPU and its readings; a list of utilisations is gone through again and again, one at
    each reading. Fields as in `Gpu` and `Reading`."""

    id: str
    index: int | None = None
    name: str = "recorded GPU"
    vendor: Vendor = "recorded"
    memory: int = 80 * 2**30
    parent: str | None = None
    node: int | None = None
    bus: str = ""
    utilisation: float | list[float] | None = None
    memory_utilisation: float | None = None
    memory_used: int | None = None
    temperature: float | None = None
    power: float | None = None
    power_limit: float | None = None
    clock: int | None = None
    memory_clock: int | None = None
    processes: tuple[GpuProcess, ...] = ()
    trouble: str = ""


class Recording(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file holds. With `trouble`, the driver as a whole is broken."""

    gpus: tuple[RecordedGpu, ...] = ()
    trouble: str = ""


class RecordedGpus:
    """The GPUs that a file tells of."""

    def __init__(self, file: Path) -> None:
        """Raises `UsageError` if the file cannot be read now. Later it stays as it was."""
        self._file = file
        self._changed = self._change()
        self._recording = _read(file)
        self._rounds = 0
        self._devices = () if self._recording.trouble else tuple(_gpus(self._recording))

    @property
    def trouble(self) -> str:
        return self._now().trouble

    def devices(self) -> tuple[Gpu, ...]:
        return self._devices

    def read(self) -> tuple[Reading, ...]:
        recording = self._now()
        recorded = {one.id: one for one in recording.gpus}
        self._rounds += 1
        return tuple(
            Reading(id=gpu.id, trouble=recording.trouble or "lost: it is not in the file")
            if recording.trouble or gpu.id not in recorded
            else _reading(recorded[gpu.id], self._rounds)
            for gpu in self._devices
        )

    def close(self) -> None:
        """There is nothing to let go."""

    def _now(self) -> Recording:
        changed = self._change()
        if changed != self._changed:
            try:
                self._recording = _read(self._file)
                self._changed = changed
            except UsageError:
                # It is being written; the next look finds it whole.
                return self._recording
        return self._recording

    def _change(self) -> tuple[int, int]:
        try:
            status = self._file.stat()
        except OSError:
            return (0, 0)
        return (status.st_mtime_ns, status.st_ino)


def _read(file: Path) -> Recording:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Recording)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{file} holds no readings of GPUs",
            why=str(error),
            fix='write it like {"gpus": [{"id": "GPU-0"}, {"id": "GPU-1"}]}; see docs/gpus.md',
        ) from error


def _gpus(recording: Recording) -> list[Gpu]:
    parents = [one.id for one in recording.gpus if one.parent is None]
    gpus = [
        Gpu(
            id=one.id,
            index=parents.index(one.parent or one.id) if one.index is None else one.index,
            name=one.name,
            vendor=one.vendor,
            memory=one.memory,
            parent=one.parent,
            node=one.node,
            bus=one.bus,
        )
        for one in recording.gpus
    ]
    return sorted(gpus, key=lambda gpu: gpu.index)


def _reading(one: RecordedGpu, rounds: int) -> Reading:
    if one.trouble:
        return Reading(id=one.id, trouble=one.trouble)
    utilisation = one.utilisation
    if isinstance(utilisation, list):
        utilisation = utilisation[rounds % len(utilisation)] if utilisation else None
    used = one.memory_used
    if used is None:
        used = sum(process.memory or 0 for process in one.processes)
    return Reading(
        id=one.id,
        utilisation=utilisation,
        memory_utilisation=one.memory_utilisation,
        memory_used=used,
        temperature=one.temperature,
        power=one.power,
        power_limit=one.power_limit,
        clock=one.clock,
        memory_clock=one.memory_clock,
        processes=one.processes,
    )
