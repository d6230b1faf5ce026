"""Many looks become one sample: means, peaks, what is missing, and whose a process is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from evq.agent.gpus.port import Gpu, GpuProcess, Reading
from evq.agent.machine.host import HostReading
from evq.agent.machine.share import Share, ShareReading
from evq.agent.machine.summary import Look, Running, Summary, short
from evq.core import wire
from evq.core.fleet.samples import Sample, uneven

MEBI = 2**20
GPUS = (
    Gpu(id="GPU-a", index=0, name="A100", memory=80 * 1024 * MEBI),
    Gpu(id="GPU-b", index=1, name="A100", memory=80 * 1024 * MEBI),
)
SHARE = Share(7, "task00000001", 2, pid=1)


def host(cpu: float = 0.0, **values: float | None) -> HostReading:
    return HostReading(
        cores=(cpu, cpu),
        values={"cpu": cpu, **values},
        memory_total=1000,
        swap_total=0,
        disk_total=None,
    )


def summed_up(*looks: Look, devices: tuple[Gpu, ...] = ()) -> Sample:
    summary = Summary(devices)
    for look in looks:
        summary.add(look)
    sample = summary.sample(
        agent="a", instance="i", number=3, at=5, seconds=1.5, trouble="the driver is odd"
    )
    assert not uneven(sample)
    assert wire.decode_sample(wire.encode_sample(sample)) == sample
    return sample


def share(cpu: float | None, memory: int, *pids: int) -> tuple[tuple[Share, ShareReading], ...]:
    return ((SHARE, ShareReading(cpu=cpu, memory=memory, pids=frozenset(pids))),)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, 0), (0.04, 0), (52.96, 53), (12.34, 12.3), (99.97, 100), (1e6, 10**6)],
)
def test_a_value_takes_few_characters(value: float, shown: float) -> None:
    assert repr(short(value)) == repr(shown)


def test_a_figure_is_mean_largest_and_last() -> None:
    running = Running()
    assert running.figure is None
    for value in (-5.0, None, -3.0, -4.0):
        running.add(value)
    assert running.figure == (-4, -3, -4)


def test_a_sample_of_the_machine() -> None:
    sample = summed_up(Look(host=host(10.0, load=1.0)), Look(host=host(30.5, temperature=None)))
    assert (sample.number, sample.at, sample.seconds, sample.readings) == (3, 5, 1.5, 2)
    assert sample.machine.cpu == (20.2, 30.5, 30.5)
    assert sample.machine.load == (1, 1, 1)
    assert sample.machine.temperature is None
    assert (sample.machine.memory_total, sample.machine.disk_total) == (1000, None)
    assert sample.cores == (20, 20)
    assert sample.trouble == "the driver is odd"
    assert (sample.gpus, sample.processes, sample.shares) == (None, None, None)


def test_a_processor_that_comes_or_goes_does_no_harm() -> None:
    one = HostReading(cores=(50.0,), values={}, memory_total=1, swap_total=0, disk_total=None)
    assert len(summed_up(Look(host=host(10.0)), Look(host=one)).cores) == 1


def test_gpus_in_columns() -> None:
    ours = GpuProcess(pid=11, memory=3 * MEBI, user="ada", name="python")
    strange = GpuProcess(pid=99, memory=5 * MEBI, user="eve", name="miner")
    looks = (
        Look(
            host=host(),
            gpus=(
                Reading(
                    id="GPU-a",
                    utilisation=use,
                    memory_used=8 * MEBI,
                    power=300.4,
                    processes=(ours, strange),
                ),
                Reading(id="GPU-b"),
            ),
            shares=share(150.0, 64 * MEBI, 11, 12),
        )
        for use in (50.0, 100.0)
    )
    sample = summed_up(*looks, devices=GPUS)
    gpus, processes, shares = sample.gpus, sample.processes, sample.shares
    assert gpus and processes and shares
    assert (gpus.id, gpus.index) == (("GPU-a", "GPU-b"), (0, 1))
    assert gpus.utilisation == ((75, 100, 100), None)
    assert gpus.power == ((300, 300, 300), None)
    assert gpus.outside == ((5, 5, 5), (0, 0, 0))
    assert gpus.trouble == ("", "")
    assert processes.gpu == (0, 0)
    assert (processes.pid, processes.claim) == ((11, 99), (7, 0))
    assert processes.user == ("ada", "eve")
    assert (shares.claim, shares.task, shares.attempt) == ((7,), ("task00000001",), (2,))
    assert shares.cpu == ((150, 150, 150),)
    assert shares.memory == ((64, 64, 64),)
    assert shares.gpu == ((75, 100, 100),)
    assert shares.gpu_memory == ((3, 3, 3),)


def test_an_attempt_without_a_gpu_has_no_part_of_one() -> None:
    looks = Look(host=host(), gpus=(Reading(id="GPU-a"),), shares=share(None, MEBI, 11))
    shares = summed_up(looks, devices=GPUS).shares
    assert shares
    assert (shares.cpu, shares.gpu, shares.gpu_memory) == ((None,), (None,), (None,))


def test_a_gpu_that_is_lost_has_words_instead_of_figures() -> None:
    well = Reading(id="GPU-a", utilisation=40.0)
    lost = Reading(id="GPU-a", trouble="lost: it fell off the bus")
    gpus = summed_up(
        Look(host=host(), gpus=(well,)), Look(host=host(), gpus=(lost,)), devices=GPUS[:1]
    ).gpus
    assert gpus and gpus.utilisation == ((40, 40, 40),)
    assert gpus.trouble == ("lost: it fell off the bus",)
    gpus = summed_up(Look(host=host(), gpus=(lost,)), devices=GPUS[:1]).gpus
    assert gpus and gpus.utilisation == (None,)


def test_gpus_that_nobody_has_read_yet() -> None:
    gpus = summed_up(Look(host=host()), devices=GPUS).gpus
    assert gpus and gpus.trouble == ("not read", "not read")


def test_an_attempt_that_ended_within_the_period_is_still_told_of() -> None:
    sample = summed_up(Look(host=host(), shares=share(10.0, MEBI, 1)), Look(host=host()))
    assert sample.shares and sample.shares.task == ("task00000001",)


def columns(**changes: Any) -> Sample:
    sample = summed_up(Look(host=host(), shares=share(1.0, MEBI, 1)))
    assert sample.shares
    return msgspec.structs.replace(sample, shares=msgspec.structs.replace(sample.shares, **changes))


def test_columns_of_different_length_are_noticed() -> None:
    assert uneven(columns(task=()))
    assert not uneven(columns(task=("other",)))
