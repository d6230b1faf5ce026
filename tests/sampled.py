"""Samples, as agents of a test make them."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from evq.core import subjects, wire
from evq.core.fleet.samples import Figure, Gpus, Machine, Processes, Sample, Shares
from evq.core.ports import Stored

NOON = 1_780_056_000_000_000
"""2026-05-29T12:00:00Z, in microseconds."""

SECOND = 1_000_000


def since_noon() -> float:
    """How many seconds after noon it is now."""
    return time.time() - NOON / SECOND


def figure(value: float) -> Figure:
    """A mean, with a larger peak and a smaller last value."""
    return (value, value + 2, value - 1)


def sample(at: float = 0.0, cpu: float = 10.0, **changes: Any) -> Sample:
    """A sample that ends `at` seconds after noon, of a machine with two GPUs and one task."""
    made = Sample(
        agent="a",
        instance="i",
        number=0,
        at=NOON + round(at * SECOND),
        seconds=10.0,
        readings=20,
        machine=Machine(cpu=figure(cpu), memory=figure(100), memory_total=1000, net_in=figure(3)),
        cores=(5, 15),
        gpus=Gpus(
            index=(0, 1),
            id=("GPU-0", "GPU-1"),
            name=("A100", "A100"),
            total=(81920, 81920),
            limit=(400, None),
            utilisation=(figure(50), None),
            memory_utilisation=(figure(20), None),
            memory=(figure(1000), None),
            temperature=(figure(60), None),
            power=(figure(300), None),
            clock=(figure(1400), None),
            memory_clock=(figure(1500), None),
            outside=(figure(7), None),
            trouble=("", "lost"),
        ),
        processes=Processes(
            gpu=(0, 0), pid=(11, 12), user=("ada", "eve"), name=("python", ""), memory=(993, None),
            claim=(5, 0),
        ),
        shares=Shares(
            claim=(5,), task=("task00000001",), attempt=(1,), cpu=(figure(200),),
            memory=(figure(64),), processes=(figure(3),), gpu=(None,), gpu_memory=(figure(993),),
        ),
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def stored(seq: int, made: Sample, subject: str | None = None) -> Stored:
    """A sample as the stream has it."""
    return Stored(seq, subject or subjects.samples(made.agent), wire.encode_sample(made))
