"""Kinds of machines that an autoscaler can have: what one offers, before there is any."""

from __future__ import annotations

import math

import msgspec

from .resources import Device, Offer

PLENTY = 2**60
"""Bytes that a machine is taken to have if nobody said how many."""


class MachineKind(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine of a kind has, and the queues that its agent serves.

    `memory` and `gpu_memory` (of each GPU) are in bytes; what is not said is taken to be enough.
    """

    queues: tuple[str, ...]
    slots: int | None = None
    cpus: float | None = None
    memory: int | None = None
    gpus: int = 0
    gpu_memory: int | None = None
    labels: dict[str, str] = {}

    @property
    def offer(self) -> Offer:
        """What an empty machine of this kind has for tasks."""
        memory = PLENTY if self.gpu_memory is None else self.gpu_memory
        devices = tuple(
            Device(f"gpu{index}", index, memory=memory, free_memory=memory)
            for index in range(self.gpus)
        )
        return Offer(
            slots=self.slots or max(1, self.gpus),
            cpus=math.inf if self.cpus is None else self.cpus,
            memory=PLENTY if self.memory is None else self.memory,
            devices=devices,
            labels=self.labels,
        )
