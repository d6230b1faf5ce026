"""How a task is told its GPUs, and what a container is given."""

from __future__ import annotations

from evq.agent.containers.engine import _options
from evq.agent.gpus.port import Gpu
from evq.agent.gpus.visible import arguments, variables
from evq.core.container import Arguments, Gpus

NVIDIA = [Gpu(id=f"GPU-{n}", index=n, name="A100", memory=80) for n in range(2)]
INSTANCE = Gpu(id="MIG-1", index=0, name="A100 MIG", memory=10, parent="GPU-0")
AMD = Gpu(id="amd-0", index=3, name="MI300X", memory=192, vendor="amd", bus="0000:c1:00.0")
RECORDED = Gpu(id="GPU-9", index=9, name="recorded", memory=80, vendor="recorded")


def test_cuda_sees_them_by_their_ids() -> None:
    told = variables([*NVIDIA, INSTANCE], None)
    assert told["CUDA_VISIBLE_DEVICES"] == told["NVIDIA_VISIBLE_DEVICES"] == "GPU-0,GPU-1,MIG-1"
    assert told["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert told["ROCR_VISIBLE_DEVICES"] == ""
    assert told["EVQ_GPUS"] == "GPU-0,GPU-1,MIG-1"
    assert "EVQ_GPU_MEMORY" not in told


def test_rocm_sees_them_by_their_indexes() -> None:
    told = variables([AMD], None)
    assert told["ROCR_VISIBLE_DEVICES"] == "3"
    assert (told["CUDA_VISIBLE_DEVICES"], told["NVIDIA_VISIBLE_DEVICES"]) == ("", "none")


def test_a_task_without_gpus_sees_none() -> None:
    told = variables([], None)
    assert told["CUDA_VISIBLE_DEVICES"] == told["ROCR_VISIBLE_DEVICES"] == ""
    assert (told["NVIDIA_VISIBLE_DEVICES"], told["EVQ_GPUS"]) == ("none", "none")


def test_a_share_is_told_its_memory() -> None:
    assert variables(NVIDIA[:1], 20 * 2**30)["EVQ_GPU_MEMORY"] == str(20 * 2**30)


def test_a_container_asks_the_engine_for_its_gpus_and_no_others() -> None:
    said = Arguments(gpus=Gpus(-1), device=("/dev/fuse",))
    options = _options(arguments(said, [*NVIDIA, INSTANCE]), "0:0")
    (request,) = options["device_requests"]
    assert request["DeviceIDs"] == ["GPU-0", "GPU-1", "MIG-1"]
    assert request["Capabilities"] == [["gpu"]]
    assert options["devices"] == ["/dev/fuse"]
    assert "device_requests" not in _options(arguments(said, []), "0:0")
    assert "device_requests" not in _options(arguments(said, [RECORDED]), "0:0")


def test_amds_are_device_files() -> None:
    assert arguments(Arguments(), [AMD]).device == ("/dev/kfd",), "its render node is not here"
