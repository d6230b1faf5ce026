"""Many looks at a machine, summed up to one sample. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from ...core.fleet.samples import Figure, Figures, Gpus, Machine, Processes, Sample, Shares
from ..gpus.port import Gpu, GpuProcess, Reading
from .host import MEBI, HostReading
from .share import Share, ShareReading

MACHINE_FIGURES = (
    *("cpu", "load", "temperature", "memory", "swap", "disk"),
    *("disk_read", "disk_write", "net_in", "net_out"),
)
GPU_FIGURES = (
    *("utilisation", "memory_utilisation", "memory", "temperature", "power"),
    *("clock", "memory_clock", "outside"),
)
SHARE_FIGURES = ("cpu", "memory", "processes", "gpu", "gpu_memory")


class Running:
    """Values of one thing, as they come: their mean, the largest and the last."""

    __slots__ = ("count", "largest", "last", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = self.largest = self.last = 0.0

    def add(self, value: float | None) -> None:
        """Take a value in; None is none."""
        if value is None:
            return
        self.largest = max(self.largest, value) if self.count else value
        self.count += 1
        self.total += value
        self.last = value

    @property
    def figure(self) -> Figure | None:
        """What is known of the values; None without any."""
        if not self.count:
            return None
        return (short(self.total / self.count), short(self.largest), short(self.last))


def short(value: float) -> float:
    """The value in as few characters as it needs: one place of a small one, none of a large."""
    rounded = round(value, 1)
    return round(value) if value >= 100 or rounded == int(rounded) else rounded


class Rows:
    """A table that is summed up: `Running` values by row and by name."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._rows: dict[object, dict[str, Running]] = {}

    def add(self, key: object, values: Mapping[str, float | None]) -> None:
        """Take in a row's values."""
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = {name: Running() for name in self._names}
        for name, value in values.items():
            row[name].add(value)

    def figures(self, key: object) -> dict[str, Figure | None]:
        """What is known of a row."""
        row = self._rows.get(key, {})
        return {name: row[name].figure if name in row else None for name in self._names}

    def columns(self, keys: Iterable[object]) -> dict[str, Figures]:
        """The same of several rows, in columns."""
        rows = [self.figures(key) for key in keys]
        return {name: tuple(row[name] for row in rows) for name in self._names}


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen at once."""

    host: HostReading
    gpus: tuple[Reading, ...] = ()
    shares: tuple[tuple[Share, ShareReading], ...] = ()


class Summary:
    """The looks of one period."""

    def __init__(self, devices: tuple[Gpu, ...]) -> None:
        self._devices = devices
        self.readings = 0
        self._host: HostReading | None = None
        self._machine = Rows(MACHINE_FIGURES)
        self._cores: list[float] = []
        self._gpus = Rows(GPU_FIGURES)
        self._last_gpus: dict[str, Reading] = {}
        self._shares = Rows(SHARE_FIGURES)
        self._known_shares: dict[int, Share] = {}
        self._owners: dict[int, int] = {}

    def add(self, look: Look) -> None:
        """Take in a look."""
        self.readings += 1
        self._host = look.host
        self._machine.add(None, look.host.values)
        cores = look.host.cores
        if len(self._cores) != len(cores):
            self._cores = [0.0] * len(cores)  # a processor came or went
        self._cores = [total + load for total, load in zip(self._cores, cores, strict=True)]
        self._owners = {pid: share.claim for share, seen in look.shares for pid in seen.pids}
        self._last_gpus = {reading.id: reading for reading in look.gpus}
        for reading in look.gpus:
            self._gpus.add(reading.id, self._gpu_values(reading))
        for share, seen in look.shares:
            self._known_shares[share.claim] = share
            self._shares.add(share.claim, self._share_values(seen))

    def _gpu_values(self, reading: Reading) -> dict[str, float | None]:
        if reading.trouble:
            return {}
        outside = [one.memory for one in reading.processes if one.pid not in self._owners]
        return {
            "utilisation": reading.utilisation,
            "memory_utilisation": reading.memory_utilisation,
            "memory": _mebi(reading.memory_used),
            "temperature": reading.temperature,
            "power": reading.power,
            "clock": reading.clock,
            "memory_clock": reading.memory_clock,
            "outside": _mebi(sum(memory or 0 for memory in outside)),
        }

    def _share_values(self, seen: ShareReading) -> dict[str, float | None]:
        used: list[float | None] = []
        memory: list[int | None] = []
        for reading in self._last_gpus.values():
            if own := [one.memory for one in reading.processes if one.pid in seen.pids]:
                used.append(reading.utilisation)
                memory += own
        told = [value for value in used if value is not None]
        return {
            "cpu": seen.cpu,
            "memory": seen.memory / MEBI,
            "processes": len(seen.pids),
            "gpu": sum(told) / len(told) if told else None,
            "gpu_memory": _mebi(sum(one or 0 for one in memory)) if memory else None,
        }

    # --- the sample ---------------------------------------------------------------------------

    def sample(
        self, *, agent: str, instance: str, number: int, at: int, seconds: float, trouble: str
    ) -> Sample:
        """What was seen, from `seconds` before `at` until then. At least one look is needed."""
        assert self._host is not None
        machine = Machine(
            **self._machine.figures(None),
            memory_total=self._host.memory_total,
            swap_total=self._host.swap_total,
            disk_total=self._host.disk_total,
        )
        return Sample(
            agent=agent,
            instance=instance,
            number=number,
            at=at,
            seconds=round(seconds, 2),
            readings=self.readings,
            machine=machine,
            cores=tuple(round(total / self.readings) for total in self._cores),
            gpus=self._gpu_columns() if self._devices else None,
            processes=self._process_columns(),
            shares=self._share_columns(),
            trouble=trouble,
        )

    def _gpu_columns(self) -> Gpus:
        devices = self._devices
        last = [self._last_gpus.get(gpu.id) for gpu in devices]
        limits = [reading.power_limit if reading else None for reading in last]
        return Gpus(
            index=tuple(gpu.index for gpu in devices),
            id=tuple(gpu.id for gpu in devices),
            name=tuple(gpu.name for gpu in devices),
            total=tuple(gpu.memory // MEBI for gpu in devices),
            limit=tuple(None if watts is None else round(watts) for watts in limits),
            trouble=tuple(reading.trouble if reading else "not read" for reading in last),
            **self._gpus.columns(gpu.id for gpu in devices),
        )

    def _process_columns(self) -> Processes | None:
        found: list[tuple[int, GpuProcess]] = [
            (place, process)
            for place, gpu in enumerate(self._devices)
            if (reading := self._last_gpus.get(gpu.id))
            for process in reading.processes
        ]
        if not found:
            return None
        return Processes(
            gpu=tuple(place for place, _ in found),
            pid=tuple(process.pid for _, process in found),
            user=tuple(process.user for _, process in found),
            name=tuple(process.name for _, process in found),
            memory=tuple(
                None if process.memory is None else process.memory // MEBI for _, process in found
            ),
            claim=tuple(self._owners.get(process.pid, 0) for _, process in found),
        )

    def _share_columns(self) -> Shares | None:
        shares = list(self._known_shares.values())
        if not shares:
            return None
        return Shares(
            claim=tuple(share.claim for share in shares),
            task=tuple(share.task for share in shares),
            attempt=tuple(share.attempt for share in shares),
            **self._shares.columns(share.claim for share in shares),
        )


def _mebi(size: int | None) -> float | None:
    return None if size is None else size / MEBI
