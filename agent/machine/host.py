"""What the machine as a whole does now."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil

MEBI = 2**20
KIBI = 2**10

SLOW_SECONDS = 5.0
"""How old what changes slowly may be: a sensor may take long to answer, and a disk fills slowly."""

PROCESSOR_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal", "acpitz")
"""The kernel's names for sensors of the processor, the best first."""


class HostReading(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the machine; the fields are those of `core.samples.Machine`."""

    cores: tuple[float, ...]
    values: Mapping[str, float | None]
    memory_total: int
    swap_total: int
    disk_total: int | None


class Host:
    """Asks the kernel again and again. Used by one thread; a hanging disk makes it wait."""

    def __init__(self, folders: Iterable[Path]) -> None:
        """`folders` are those whose file systems are looked at."""
        self._folders = tuple(folders)
        self._slow_at = float("-inf")
        self._temperature: float | None = None
        self._disk: tuple[float, int] | None = None
        self._interfaces: frozenset[str] = frozenset()
        self._counted_at = 0.0
        self._counts: dict[str, int] = {}
        psutil.cpu_percent(percpu=True)  # the first answer means nothing

    def read(self) -> HostReading:
        """What the machine does now, rates since the last call."""
        now = time.monotonic()
        if now - self._slow_at >= SLOW_SECONDS:
            self._slow_at = now
            self._temperature = temperature()
            self._disk = fullest(self._folders)
            self._interfaces = interfaces()
        cores = tuple(psutil.cpu_percent(percpu=True))
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        return HostReading(
            cores=cores,
            values={
                "cpu": sum(cores) / len(cores) if cores else None,
                "load": os.getloadavg()[0],
                "temperature": self._temperature,
                "memory": (memory.total - memory.available) / MEBI,
                "swap": swap.used / MEBI,
                "disk": self._disk[0] / MEBI if self._disk else None,
                **self._rates(now),
            },
            memory_total=memory.total // MEBI,
            swap_total=swap.total // MEBI,
            disk_total=self._disk[1] // MEBI if self._disk else None,
        )

    def _rates(self, now: float) -> dict[str, float | None]:
        counts = _counts(self._interfaces)
        before, seconds = self._counts, now - self._counted_at
        self._counts, self._counted_at = counts, now
        # A disk or an interface that went takes what it had counted with it.
        return {
            name: max(0, count - before[name]) / seconds / KIBI if name in before else None
            for name, count in counts.items()
        }


def _counts(chosen: frozenset[str]) -> dict[str, int]:
    """What was read, written, received and sent since boot, in bytes."""
    counts: dict[str, int] = {}
    # Some containers hide one or the other.
    with suppress(OSError, NotImplementedError):
        if disks := psutil.disk_io_counters():
            counts |= {"disk_read": disks.read_bytes, "disk_write": disks.write_bytes}
    with suppress(OSError):
        nets = psutil.net_io_counters(pernic=True)
        ours = [count for name, count in nets.items() if name in chosen]
        counts["net_in"] = sum(count.bytes_recv for count in ours)
        counts["net_out"] = sum(count.bytes_sent for count in ours)
    return counts


def interfaces(net: Path = Path("/sys/class/net")) -> frozenset[str]:
    """The interfaces that lead out of the machine: what crosses a bridge would count twice."""
    try:
        names = [name for name in os.listdir(net) if name != "lo"]
    except OSError:
        return frozenset()
    devices = [name for name in names if (net / name / "device").exists()]
    return frozenset(devices or names)


def temperature() -> float | None:
    """The processor's, in °C; None where the machine does not tell, as most virtual ones."""
    if not hasattr(psutil, "sensors_temperatures"):
        return None
    found = psutil.sensors_temperatures()
    for name in PROCESSOR_SENSORS:
        if sensors := found.get(name):
            return max(sensor.current for sensor in sensors)
    return None


def fullest(folders: Iterable[Path]) -> tuple[int, int] | None:
    """Bytes in use, and in all, on that file system of the folders' which has the least left."""
    found = []
    for folder in folders:
        with suppress(OSError):
            status = os.statvfs(folder)
            used = (status.f_blocks - status.f_bfree) * status.f_frsize
            # What is kept back for root is nobody else's.
            found.append((used, used + status.f_bavail * status.f_frsize))
    return max(found, key=lambda space: space[0] / max(1, space[1]), default=None)
