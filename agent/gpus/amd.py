"""AMD's GPUs, by AMD SMI where its Python library is installed with the driver.

evq does not depend on it: the library must be the driver's own release.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from . import owners
from .port import Gpu, GpuProcess, Gpus, NoGpus, Reading

DRIVER = Path("/dev/kfd")


def open_amd() -> Gpus:
    """AMD's GPUs on this machine; `NoGpus` where there is no driver."""
    if not DRIVER.exists():
        return NoGpus()
    if importlib.util.find_spec("amdsmi") is None:
        return NoGpus(
            "there is an AMD driver, but Python's amdsmi is not installed beside evq; "
            "it comes with the driver"
        )
    try:
        return started(importlib.import_module("amdsmi"))
    except Exception as error:  # what a library says that does not fit its driver
        return NoGpus(f"amdsmi cannot be loaded: {error!r}")


def started(smi: Any) -> Gpus:
    """The GPUs that the module `amdsmi` sees."""
    try:
        smi.amdsmi_init()
        return Amd(smi)
    except smi.AmdSmiException as error:
        return NoGpus(f"AMD's driver does not answer: {error}")


class Amd:
    """The GPUs of a driver that answers."""

    trouble = ""

    def __init__(self, smi: Any) -> None:
        """`smi` is the module `amdsmi`, initialised. Raises its `AmdSmiException`."""
        self._smi = smi
        self._handles: dict[str, Any] = {}
        self._devices = tuple(self._found())

    def devices(self) -> tuple[Gpu, ...]:
        return self._devices

    def read(self) -> tuple[Reading, ...]:
        return tuple(self._read(gpu) for gpu in self._devices)

    def close(self) -> None:
        self._ask(self._smi.amdsmi_shut_down)

    def _found(self) -> Iterator[Gpu]:
        smi, ask = self._smi, self._ask
        for index, handle in enumerate(smi.amdsmi_get_processor_handles()):
            id = smi.amdsmi_get_gpu_device_uuid(handle)
            self._handles[id] = handle
            asic = ask(smi.amdsmi_get_gpu_asic_info, handle) or {}
            yield Gpu(
                id=id,
                index=index,
                name=asic.get("market_name") or "AMD GPU",
                memory=int(smi.amdsmi_get_gpu_memory_total(handle, smi.AmdSmiMemoryType.VRAM)),
                vendor="amd",
                node=_number(ask(smi.amdsmi_topo_get_numa_node_number, handle)),
                bus=ask(smi.amdsmi_get_gpu_device_bdf, handle) or "",
            )

    def _read(self, gpu: Gpu) -> Reading:
        smi, handle, ask = self._smi, self._handles[gpu.id], self._ask
        try:
            used = smi.amdsmi_get_gpu_memory_usage(handle, smi.AmdSmiMemoryType.VRAM)
        except smi.AmdSmiException as error:
            return Reading(id=gpu.id, trouble=f"does not answer: {error}")
        activity = ask(smi.amdsmi_get_gpu_activity, handle) or {}
        power = ask(smi.amdsmi_get_power_info, handle) or {}
        sensor, now = smi.AmdSmiTemperatureType.EDGE, smi.AmdSmiTemperatureMetric.CURRENT
        watts = _number(power.get("current_socket_power"))
        return Reading(
            id=gpu.id,
            utilisation=_number(activity.get("gfx_activity")),
            memory_utilisation=_number(activity.get("umc_activity")),
            memory_used=int(used),
            temperature=_number(ask(smi.amdsmi_get_temp_metric, handle, sensor, now)),
            power=watts if watts is not None else _number(power.get("average_socket_power")),
            power_limit=_number(power.get("power_limit")),
            clock=self._clock(handle, smi.AmdSmiClkType.GFX),
            memory_clock=self._clock(handle, smi.AmdSmiClkType.MEM),
            processes=tuple(self._processes(handle)),
        )

    def _clock(self, handle: Any, kind: Any) -> int | None:
        clock = self._ask(self._smi.amdsmi_get_clock_info, handle, kind) or {}
        return _number(clock.get("clk"))

    def _processes(self, handle: Any) -> Iterator[GpuProcess]:
        for found in self._ask(self._smi.amdsmi_get_gpu_process_list, handle) or ():
            yield owners.process(found["pid"], _number(found["memory_usage"]["vram_mem"]))

    def _ask(self, question: Callable[..., Any], *words: Any) -> Any:
        """The driver's answer; None to what this GPU does not know, or no longer."""
        try:
            return question(*words)
        except self._smi.AmdSmiException:
            return None


def _number(value: Any) -> int | None:
    """The library writes "N/A" for what it does not know."""
    return value if isinstance(value, int) else None
