"""How a task is told which GPUs are its own, and how a container is given no others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from glob import glob
from pathlib import Path

import msgspec

from ...core.container import Arguments
from ...core.container import Gpus as Requested
from .port import Gpu


def variables(gpus: Sequence[Gpu], gpu_memory: int | None) -> dict[str, str]:
    """The variables by which CUDA and ROCm see these GPUs only, or none at all."""
    amd = [str(gpu.index) for gpu in gpus if gpu.vendor == "amd"]
    cuda = [gpu.id for gpu in gpus if gpu.vendor != "amd"]
    found = {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": ",".join(cuda),
        "NVIDIA_VISIBLE_DEVICES": ",".join(cuda) or "none",
        "ROCR_VISIBLE_DEVICES": ",".join(amd),
        "EVQ_GPUS": ",".join(gpu.id for gpu in gpus) or "none",
    }
    if gpu_memory is not None:
        found["EVQ_GPU_MEMORY"] = str(gpu_memory)
    return found


def arguments(said: Arguments, gpus: Sequence[Gpu]) -> Arguments:
    """`said` with these GPUs instead of those that it names."""
    nvidia = tuple(gpu.id for gpu in gpus if gpu.vendor == "nvidia")
    return msgspec.structs.replace(
        said,
        gpus=Requested(ids=nvidia) if nvidia else None,
        device=(*said.device, *_devices([gpu for gpu in gpus if gpu.vendor == "amd"])),
    )


def _devices(gpus: Sequence[Gpu]) -> list[str]:
    """The device files of AMD's GPUs: a container is given those, no request of the engine."""
    found = [_node(gpu.bus) for gpu in gpus]
    return ["/dev/kfd", *filter(None, found)] if gpus else []


def _node(bus: str) -> str:
    """The file by which a GPU at this address of the bus is rendered with."""
    for path in glob(f"/sys/bus/pci/devices/{bus.lower()}/drm/renderD*"):
        return str(Path("/dev/dri") / os.path.basename(path))
    return ""
