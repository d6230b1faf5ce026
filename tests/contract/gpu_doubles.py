"""Doubles of the modules `pynvml` and `amdsmi`, with values as real GPUs have answered them.

There is no GPU where these tests usually run. The doubles stand for the functions that our
adapters call, so that what the adapters make of the answers is tested everywhere; whether a real
driver answers like that is tested by the same suite where there is one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

GIB = 2**30


class NVMLError(Exception):
    """What `pynvml` raises."""


class NVMLError_LibraryNotFound(NVMLError):
    """There is no driver."""


class NVMLError_LibRmVersionMismatch(NVMLError):
    """The driver was upgraded under a running kernel module."""


class NVMLError_NotSupported(NVMLError):
    """This GPU does not know the question."""


class NVMLError_GpuIsLost(NVMLError):
    """It fell off the bus."""


@dataclass
class Card:
    """One GPU, or an instance of one."""

    uuid: str
    name: str = "NVIDIA A100-SXM4-80GB"
    memory: int = 80 * GIB
    used: int = 3 * GIB
    processes: list[tuple[int, int | None]] = field(default_factory=list)
    instances: list[Card] = field(default_factory=list)
    lost: bool = False
    instance: bool = False


@dataclass
class Pynvml:
    """The functions of `pynvml` on these cards. `broken` is what its start raises."""

    cards: list[Card]
    broken: NVMLError | None = None
    NVMLError = NVMLError
    NVMLError_LibraryNotFound = NVMLError_LibraryNotFound
    NVMLError_GpuIsLost = NVMLError_GpuIsLost
    NVML_TEMPERATURE_GPU = 0
    NVML_CLOCK_SM = 1
    NVML_CLOCK_MEM = 2

    def nvmlInit(self) -> None:
        if self.broken:
            raise self.broken

    def nvmlShutdown(self) -> None:
        pass

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Card:
        return self._living(self.cards[index])

    def nvmlDeviceGetUUID(self, card: Card) -> bytes | str:
        # Bindings of old drivers answer in bytes.
        return card.uuid if card.instance else card.uuid.encode()

    def nvmlDeviceGetName(self, card: Card) -> str:
        return self._living(card).name

    def nvmlDeviceGetMemoryInfo(self, card: Card) -> Any:
        self._living(card)
        return SimpleNamespace(total=card.memory, used=card.used, free=card.memory - card.used)

    def nvmlDeviceGetPciInfo(self, card: Card) -> Any:
        return SimpleNamespace(busId=b"00000000:07:00.0")

    def nvmlDeviceGetMigMode(self, card: Card) -> tuple[int, int]:
        if not card.instances:
            raise NVMLError_NotSupported("Not Supported")
        return (1, 1)

    def nvmlDeviceGetMaxMigDeviceCount(self, card: Card) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, card: Card, number: int) -> Card:
        if number >= len(card.instances):
            raise NVMLError("Not Found")
        return card.instances[number]

    def nvmlDeviceGetUtilizationRates(self, card: Card) -> Any:
        if card.instance:
            raise NVMLError_NotSupported("Not Supported")
        return SimpleNamespace(gpu=97, memory=41)

    def nvmlDeviceGetTemperature(self, card: Card, sensor: int) -> int:
        if card.instance:
            raise NVMLError_NotSupported("Not Supported")
        return 64

    def nvmlDeviceGetPowerUsage(self, card: Card) -> int:
        return 380_123

    def nvmlDeviceGetEnforcedPowerLimit(self, card: Card) -> int:
        return 400_000

    def nvmlDeviceGetClockInfo(self, card: Card, kind: int) -> int:
        return {self.NVML_CLOCK_SM: 1410, self.NVML_CLOCK_MEM: 1593}[kind]

    def nvmlDeviceGetComputeRunningProcesses(self, card: Card) -> list[Any]:
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in card.processes]

    def nvmlDeviceGetGraphicsRunningProcesses(self, card: Card) -> list[Any]:
        # A process may be of both kinds.
        return self.nvmlDeviceGetComputeRunningProcesses(card)[:1]

    def _living(self, card: Card) -> Card:
        if card.lost:
            raise NVMLError_GpuIsLost("GPU is lost")
        return card


class AmdSmiException(Exception):
    """What `amdsmi` raises."""


@dataclass
class Amdsmi:
    """The functions of `amdsmi` on these cards."""

    cards: list[Card]
    broken: AmdSmiException | None = None
    AmdSmiException = AmdSmiException
    AmdSmiMemoryType = SimpleNamespace(VRAM="vram")
    AmdSmiTemperatureType = SimpleNamespace(EDGE="edge")
    AmdSmiTemperatureMetric = SimpleNamespace(CURRENT="current")
    AmdSmiClkType = SimpleNamespace(GFX="gfx", MEM="mem")

    def amdsmi_init(self) -> None:
        if self.broken:
            raise self.broken

    def amdsmi_shut_down(self) -> None:
        pass

    def amdsmi_get_processor_handles(self) -> list[Card]:
        return list(self.cards)

    def amdsmi_get_gpu_device_uuid(self, card: Card) -> str:
        return card.uuid

    def amdsmi_get_gpu_device_bdf(self, card: Card) -> str:
        return "0000:c1:00.0"

    def amdsmi_get_gpu_asic_info(self, card: Card) -> dict[str, Any]:
        return {"market_name": card.name}

    def amdsmi_topo_get_numa_node_number(self, card: Card) -> int:
        return 1

    def amdsmi_get_gpu_memory_total(self, card: Card, kind: str) -> int:
        return card.memory

    def amdsmi_get_gpu_memory_usage(self, card: Card, kind: str) -> int:
        if card.lost:
            raise AmdSmiException("AMDSMI_STATUS_NOT_FOUND")
        return card.used

    def amdsmi_get_gpu_activity(self, card: Card) -> dict[str, Any]:
        return {"gfx_activity": 97, "umc_activity": 41, "mm_activity": "N/A"}

    def amdsmi_get_power_info(self, card: Card) -> dict[str, Any]:
        return {"current_socket_power": "N/A", "average_socket_power": 380, "power_limit": 750}

    def amdsmi_get_temp_metric(self, card: Card, sensor: str, metric: str) -> int:
        return 64

    def amdsmi_get_clock_info(self, card: Card, kind: str) -> dict[str, Any]:
        return {"clk": {"gfx": 1410, "mem": 1593}[kind]}

    def amdsmi_get_gpu_process_list(self, card: Card) -> list[dict[str, Any]]:
        return [
            {"pid": pid, "memory_usage": {"vram_mem": "N/A" if used is None else used}}
            for pid, used in card.processes
        ]
