"""The port to a machine's GPUs: which there are, and what each does now.

Nothing here raises. A driver that does not answer or a GPU that fell off its bus is a fact about
the machine like its temperature, told in `trouble`, and an agent goes on with what still works.
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

Vendor = Literal["nvidia", "amd", "recorded"]
"""Who made it; what is recorded has no driver, and no container can be given it."""


class Gpu(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A GPU, or an instance of one that is divided (MIG).

    `id` is what the driver calls it for good (a UUID), `index` its place in the order of the bus,
    `memory` is in bytes. An instance has a `parent`, the id of the GPU that it is a part of, and
    that GPU's `index`. `node` is the part of the machine (NUMA) to which it is connected, `bus`
    its address there.
    """

    id: str
    index: int
    name: str
    memory: int
    vendor: Vendor = "nvidia"
    parent: str | None = None
    node: int | None = None
    bus: str = ""


class GpuProcess(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A process that has a GPU open: `memory` is in bytes, null where the driver does not tell;
    `user` is the owner's name, empty if it is gone or not to be seen. `pid` is 0 for one that has
    no number here, because it runs in another container."""

    pid: int = 0
    memory: int | None = None
    user: str = ""
    name: str = ""


class Reading(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one GPU does now. What its driver does not tell is null.

    `utilisation` is the percentage of the last moments in which it computed, `memory_utilisation`
    that in which its memory was read or written; `memory_used` is in bytes, `temperature` in °C,
    `power` and `power_limit` in watts, the clocks in MHz. `trouble` says in words what is wrong
    with it, and is empty if nothing is.
    """

    id: str
    utilisation: float | None = None
    memory_utilisation: float | None = None
    memory_used: int | None = None
    temperature: float | None = None
    power: float | None = None
    power_limit: float | None = None
    clock: int | None = None
    memory_clock: int | None = None
    processes: tuple[GpuProcess, ...] = ()
    trouble: str = ""


class Gpus(Protocol):
    """The GPUs of this machine. All calls block for milliseconds, and none raises."""

    @property
    def trouble(self) -> str:
        """Why GPUs cannot be seen that may be there, in words; empty if nothing is wrong.

        A machine without GPUs has no trouble.
        """
        ...

    def devices(self) -> tuple[Gpu, ...]:
        """Those that were there when the port was opened, in the order of their `index`, each
        divided one before its instances. One that is lost later stays in the list."""
        ...

    def read(self) -> tuple[Reading, ...]:
        """A reading of each device, in the same order."""
        ...

    def close(self) -> None:
        """Let the driver go. Nothing may be asked after it."""
        ...


class NoGpus:
    """A machine without GPUs, or with a driver that is broken."""

    def __init__(self, trouble: str = "") -> None:
        self.trouble = trouble

    def devices(self) -> tuple[Gpu, ...]:
        return ()

    def read(self) -> tuple[Reading, ...]:
        return ()

    def close(self) -> None:
        """There is nothing to let go."""


def divided(devices: tuple[Gpu, ...]) -> frozenset[str]:
    """The ids of GPUs that have instances: work is for the instances, not for them."""
    return frozenset(gpu.parent for gpu in devices if gpu.parent)
