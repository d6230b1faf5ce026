"""Which GPUs a task gets: those that leave the most room for what comes after it.

Pure. A share goes to the fullest GPU that has room for it, so that whole ones stay whole. Whole
GPUs come from the part of the machine with the fewest free ones that still suffice, because GPUs
of one part reach each other faster; and the lowest index decides where nothing else does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from ...core.fleet.resources import Device


def assign(
    devices: Sequence[Device],
    nodes: Mapping[str, int | None],
    least: int,
    most: int,
    gpu_memory: int | None,
) -> tuple[str, ...] | None:
    """The ids of `most` GPUs, or of as many as there are from `least` on; None if there are fewer.

    `nodes` tells to which part of the machine a GPU belongs, by its id.
    """
    free = [device for device in devices if device.takes(gpu_memory)]
    if len(free) < least:
        return None
    count = min(most, len(free))
    if gpu_memory is not None:
        best = sorted(free, key=lambda device: (device.free_memory, device.index))
        return tuple(device.id for device in best[:count])
    return tuple(device.id for device in _near_each_other(free, nodes, count))


def _near_each_other(
    free: Sequence[Device], nodes: Mapping[str, int | None], count: int
) -> list[Device]:
    parts: defaultdict[int | None, list[Device]] = defaultdict(list)
    for device in sorted(free, key=lambda device: device.index):
        parts[nodes.get(device.id)].append(device)
    fitting = [part for part in parts.values() if len(part) >= count]
    if fitting:
        return min(fitting, key=len)[:count]
    widest = sorted(parts.values(), key=len, reverse=True)
    return sorted(
        [device for part in widest for device in part][:count], key=lambda device: device.index
    )
