"""NVIDIA's GPUs, by NVML."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from . import owners
from .port import Gpu, GpuProcess, Gpus, NoGpus, Reading, divided

T = TypeVar("T")

LIBRARY = "libnvidia-ml.so.1"


def open_nvml() -> Gpus:
    """NVIDIA's GPUs on this machine; `NoGpus` where there is no driver."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        # Without a driver, the import of its bindings would cost 50 ms for nothing.
        return NoGpus()
    return started(importlib.import_module("pynvml"))


def started(nvml: Any) -> Gpus:
    """The GPUs that the module `pynvml` sees."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError_LibraryNotFound:
        return NoGpus()
    except nvml.NVMLError as error:
        return NoGpus(f"NVIDIA's driver does not answer: {error}")
    return Nvml(nvml)


class Nvml:
    """The GPUs of a driver that answers."""

    def __init__(self, nvml: Any) -> None:
        """`nvml` is the module `pynvml`, initialised."""
        self._nvml = nvml
        self._handles: dict[str, Any] = {}
        self.trouble = ""
        self._devices = tuple(self._found())
        self._divided = divided(self._devices)

    def devices(self) -> tuple[Gpu, ...]:
        return self._devices

    def read(self) -> tuple[Reading, ...]:
        return tuple(self._read(gpu) for gpu in self._devices)

    def close(self) -> None:
        self._ask(self._nvml.nvmlShutdown)

    # --- what there is --------------------------------------------------------------------------

    def _found(self) -> Iterator[Gpu]:
        nvml = self._nvml
        for index in range(self._ask(nvml.nvmlDeviceGetCount) or 0):
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                gpu = self._gpu(handle, index)
            except nvml.NVMLError as error:
                self.trouble = f"GPU {index} does not answer: {error}"
                continue
            yield gpu
            yield from self._instances(handle, gpu)

    def _gpu(self, handle: Any, index: int, parent: Gpu | None = None) -> Gpu:
        nvml = self._nvml
        id = _text(nvml.nvmlDeviceGetUUID(handle))
        self._handles[id] = handle
        pci = None if parent else self._ask(nvml.nvmlDeviceGetPciInfo, handle)
        bus = _text(pci.busId).lower() if pci else parent.bus if parent else ""
        return Gpu(
            id=id,
            index=index,
            name=_text(nvml.nvmlDeviceGetName(handle)),
            memory=int(nvml.nvmlDeviceGetMemoryInfo(handle).total),
            parent=parent.id if parent else None,
            node=parent.node if parent else numa_node(bus),
            bus=bus,
        )

    def _instances(self, handle: Any, gpu: Gpu) -> Iterator[Gpu]:
        nvml = self._nvml
        mode = self._ask(nvml.nvmlDeviceGetMigMode, handle)
        if not mode or not mode[0]:
            return
        for number in range(self._ask(nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
            instance = self._ask(nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, number)
            if instance is not None:
                yield self._gpu(instance, gpu.index, gpu)

    # --- what it does ---------------------------------------------------------------------------

    def _read(self, gpu: Gpu) -> Reading:
        nvml, handle = self._nvml, self._handles[gpu.id]
        try:
            memory_used = int(nvml.nvmlDeviceGetMemoryInfo(handle).used)
        except nvml.NVMLError as error:
            return Reading(id=gpu.id, trouble=self._trouble(error))
        ask = self._ask
        rates = ask(nvml.nvmlDeviceGetUtilizationRates, handle)
        return Reading(
            id=gpu.id,
            utilisation=float(rates.gpu) if rates else None,
            memory_utilisation=float(rates.memory) if rates else None,
            memory_used=memory_used,
            temperature=ask(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU),
            power=_watts(ask(nvml.nvmlDeviceGetPowerUsage, handle)),
            power_limit=_watts(ask(nvml.nvmlDeviceGetEnforcedPowerLimit, handle)),
            clock=ask(nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_SM),
            memory_clock=ask(nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_MEM),
            # A divided GPU names its instances' processes once more.
            processes=() if gpu.id in self._divided else tuple(self._processes(handle)),
        )

    def _processes(self, handle: Any) -> Iterator[GpuProcess]:
        nvml, seen = self._nvml, set()
        for kind in (
            nvml.nvmlDeviceGetComputeRunningProcesses,
            nvml.nvmlDeviceGetGraphicsRunningProcesses,
        ):
            for found in self._ask(kind, handle) or ():
                if found.pid not in seen:
                    seen.add(found.pid)
                    yield owners.process(int(found.pid), found.usedGpuMemory)

    def _trouble(self, error: Exception) -> str:
        if isinstance(error, self._nvml.NVMLError_GpuIsLost):
            return f"lost: {error}"
        return f"does not answer: {error}"

    def _ask(self, question: Callable[..., T], *words: Any) -> T | None:
        """The driver's answer; None to what this GPU does not know, or no longer."""
        try:
            return question(*words)
        except self._nvml.NVMLError:
            return None


def _text(value: str | bytes) -> str:
    """Older drivers' bindings answer in bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000


def numa_node(bus: str) -> int | None:
    """The part of the machine that an address on the bus belongs to, as the kernel has it."""
    # NVML writes the domain with eight digits, the kernel with four.
    domain, _, rest = bus.partition(":")
    try:
        node = int(Path(f"/sys/bus/pci/devices/{domain[-4:]}:{rest}/numa_node").read_text())
    except (OSError, ValueError):
        return None
    return node if node >= 0 else None
