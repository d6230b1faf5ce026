"""What an agent saw of its machine in the last few seconds, as one message.

A sample sums up several readings. It travels on a stream of its own, because it is as often as
an agent's heartbeat and nothing is decided by it: one that is lost is not sent again. Memory and
disk space are in MiB and rates in KiB a second, rounded, since each byte counts here.
"""

from __future__ import annotations

import msgspec

Figure = tuple[float, float, float]
"""The mean, the largest and the last of a period's readings."""

Figures = tuple[Figure | None, ...]
"""A column of figures; null where nothing could be read."""


class Machine(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The machine as a whole. What it does not tell is null.

    `cpu` is in percent of all processors, `load` the mean number of processes that wanted to run
    in the last minute, `temperature` in °C. `disk` is the space that is taken on the fullest of
    the file systems that the agent's folders are on.
    """

    cpu: Figure | None = None
    load: Figure | None = None
    temperature: Figure | None = None
    memory: Figure | None = None
    memory_total: int | None = None
    swap: Figure | None = None
    swap_total: int | None = None
    disk: Figure | None = None
    disk_total: int | None = None
    disk_read: Figure | None = None
    disk_write: Figure | None = None
    net_in: Figure | None = None
    net_out: Figure | None = None


class Gpus(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The GPUs, in columns of equal length.

    `utilisation` and `memory_utilisation` are in percent, `temperature` in °C, `power` and its
    `limit` in watts, the clocks in MHz. `outside` is the memory that processes of nobody's attempt
    here have. `trouble` says in words what is wrong with one, and is empty if nothing is.
    """

    index: tuple[int, ...]
    id: tuple[str, ...]
    name: tuple[str, ...]
    total: tuple[int, ...]
    limit: tuple[int | None, ...]
    utilisation: Figures
    memory_utilisation: Figures
    memory: Figures
    temperature: Figures
    power: Figures
    clock: Figures
    memory_clock: Figures
    outside: Figures
    trouble: tuple[str, ...]


class Processes(msgspec.Struct, frozen=True, kw_only=True):
    """Who has a GPU open at the end of the period, in columns of equal length.

    `gpu` is the place of the GPU in the columns of `gpus`, `user` and `name` the process's owner
    and program, empty if they are not to be seen. `claim` is the attempt of this agent that it
    belongs to, 0 for none.
    """

    gpu: tuple[int, ...]
    pid: tuple[int, ...]
    user: tuple[str, ...]
    name: tuple[str, ...]
    memory: tuple[int | None, ...]
    claim: tuple[int, ...]


class Shares(msgspec.Struct, frozen=True, kw_only=True):
    """What each running attempt takes of the machine, in columns of equal length.

    `cpu` is in percent of one processor, `processes` how many there are. `gpu_memory` is that of
    its own processes on all GPUs; `gpu` the mean utilisation, in percent, of the GPUs that they
    have open, which may be somebody else's doing, too, where a GPU is shared.
    """

    claim: tuple[int, ...]
    task: tuple[str, ...]
    attempt: tuple[int, ...]
    cpu: Figures
    memory: Figures
    processes: Figures
    gpu: Figures
    gpu_memory: Figures


class Sample(
    msgspec.Struct, frozen=True, tag_field="kind", tag="sample", omit_defaults=True, kw_only=True
):
    """What an agent saw from `seconds` before `at` until then, in `readings` looks.

    `number` counts the samples of the agent's instance from 0, so that a gap shows. `cores` has
    the mean load of each processor in percent. `trouble` says why GPUs, or other figures, that
    may be there are missing.
    """

    agent: str
    instance: str
    number: int
    at: int
    seconds: float
    readings: int
    machine: Machine
    cores: tuple[int, ...] = ()
    gpus: Gpus | None = None
    processes: Processes | None = None
    shares: Shares | None = None
    trouble: str = ""


def uneven(sample: Sample) -> bool:
    """Whether columns that belong together differ in length."""
    tables = (sample.gpus, sample.processes, sample.shares)
    return any(len(set(map(len, msgspec.structs.astuple(table)))) != 1 for table in tables if table)
