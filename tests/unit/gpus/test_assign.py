"""Which GPUs a task gets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from evq.agent.gpus.assign import assign
from evq.core.fleet.resources import Device

ALL = [Device(f"GPU-{n}", n, memory=80, free_memory=80) for n in range(8)]
NODES = {device.id: device.index // 4 for device in ALL}


def held(*indexes: int) -> list[Device]:
    return [
        replace(device, held=True, free_memory=0) if device.index in indexes else device
        for device in ALL
    ]


def got(devices: list[Device], count: int, gpu_memory: int | None = None) -> list[int] | None:
    ids = assign(devices, NODES, count, count, gpu_memory)
    return None if ids is None else [int(id[-1]) for id in ids]


def test_whole_gpus_come_from_one_part_of_the_machine() -> None:
    assert got(held(1, 2), 2) == [0, 3]
    assert got(held(1, 2, 3), 2) == [4, 5]
    assert got(held(1, 2, 3), 1) == [0]
    assert got(held(1), 4) == [4, 5, 6, 7]
    assert got(held(1), 5) == [0, 4, 5, 6, 7]


def test_too_few_are_none() -> None:
    assert got(held(*range(7)), 2) is None
    assert assign(held(*range(8)), NODES, 0, 4, None) == ()


def test_as_many_as_are_free_between_two_bounds() -> None:
    assert assign(held(*range(5)), NODES, 1, 4, None) == ("GPU-5", "GPU-6", "GPU-7")
    assert assign(ALL, NODES, 1, 4, None) == ("GPU-0", "GPU-1", "GPU-2", "GPU-3")


def test_a_share_goes_to_the_fullest_that_has_room() -> None:
    devices = list(ALL)
    devices[3] = replace(ALL[3], free_memory=30)
    devices[5] = replace(ALL[5], free_memory=20)
    assert got(devices, 1, 20) == [5]
    assert got(devices, 1, 25) == [3]
    assert got(devices, 1, 40) == [0]
    assert got(devices, 2, 20) == [5, 3]
    assert got(devices, 7) is None, "a shared one is nobody's alone"


DEVICES = st.lists(
    st.builds(
        lambda free, flags: (free, flags),
        st.sampled_from([0, 10, 40, 80]),
        st.sampled_from([{}, {"foreign": "ann"}, {"drained": "x"}, {"broken": "x"}]),
    ),
    min_size=1,
    max_size=8,
).map(
    lambda drawn: [
        replace(ALL[n], free_memory=free, **flags)  # type: ignore[arg-type]
        for n, (free, flags) in enumerate(drawn)
    ]
)


@given(DEVICES, st.integers(0, 8), st.integers(0, 8), st.none() | st.sampled_from([10, 40, 81]))
def test_never_more_than_there_is(
    devices: list[Device], least: int, more: int, gpu_memory: int | None
) -> None:
    ids = assign(devices, NODES, least, least + more, gpu_memory)
    able = [device.id for device in devices if device.takes(gpu_memory)]
    if ids is None:
        assert len(able) < least
    else:
        assert least <= len(ids) <= least + more
        assert len(set(ids)) == len(ids) and set(ids) <= set(able)
        assert len(ids) == min(least + more, len(able))
