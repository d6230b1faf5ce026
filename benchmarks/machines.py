"""Machines with GPUs that are busy, and what their agents would tell of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import msgspec

from evq.agent.config import Config
from evq.core.fleet.samples import Figure, Gpus, Machine, Processes, Sample, Shares

CONFIG = Config(queues=("q",), state=Path(), cache=Path())
CORES = 64
KINDS_OF_FIGURE = 4096
"""How many different figures of each kind there are: to make each anew would take hours."""


class Held(msgspec.Struct, frozen=True):
    """The attempt that has a GPU."""

    claim: int
    task: str
    attempt: int


class Tables:
    """Figures to choose from."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._made: dict[tuple[float, float, int], list[Figure]] = {}

    def pick(self, least: float, most: float, places: int = 0) -> Figure:
        """Some figure between the two."""
        known = self._made.get((least, most, places))
        if known is None:
            known = [self._make(least, most, places) for _ in range(KINDS_OF_FIGURE)]
            self._made[least, most, places] = known
        return known[int(self._chance.random() * KINDS_OF_FIGURE)]

    def _make(self, least: float, most: float, places: int) -> Figure:
        low, middle, high = sorted(
            round(self._chance.uniform(least, most), places or None) for _ in range(3)
        )
        return (middle, high, low)


class Machines:
    """So many machines with so many GPUs each."""

    def __init__(self, machines: int, gpus: int, seed: int = 5) -> None:
        chance = random.Random(seed)
        self._tables = Tables(chance)
        self.names = [f"gpu-{machine:03}" for machine in range(machines)]
        self.instances = [f"{machine:012x}" for machine in range(machines)]
        self.ids = [
            [f"GPU-{chance.getrandbits(128):032x}" for _ in range(gpus)] for _ in range(machines)
        ]

    def sample(self, machine: int, number: int, at: int, held: Sequence[Held | None]) -> Sample:
        """What the machine's agent says at `at` (microseconds) if its GPUs are `held` so."""
        pick, count = self._tables.pick, len(held)
        places = range(count)
        busy = [place for place in places if held[place]]
        memory = [(20_000 + 5000 * place if held[place] else 4,) * 3 for place in places]
        shares = {one.claim: one for one in held if one}
        owners = [one.claim for one in held if one]
        return Sample(
            agent=self.names[machine],
            instance=self.instances[machine],
            number=number,
            at=at,
            seconds=CONFIG.report_every,
            readings=int(CONFIG.report_every / CONFIG.sample_every),
            machine=Machine(
                cpu=pick(20, 60, 1),
                load=pick(20, 40, 1),
                temperature=pick(50, 70),
                memory=pick(200_000, 210_000),
                memory_total=1_031_000,
                swap=(0, 0, 0),
                swap_total=0,
                disk=(900_000, 900_000, 900_000),
                disk_total=3_600_000,
                disk_read=pick(0, 200_000),
                disk_write=pick(0, 100_000),
                net_in=pick(0, 100_000),
                net_out=pick(0, 10_000),
            ),
            cores=tuple(int(pick(0, 100)[0]) for _ in range(CORES)),
            gpus=Gpus(
                index=tuple(places),
                id=tuple(self.ids[machine]),
                name=("NVIDIA A100-SXM4-80GB",) * count,
                total=(81_920,) * count,
                limit=(400,) * count,
                utilisation=tuple(pick(60, 100) if held[i] else pick(0, 2) for i in places),
                memory_utilisation=tuple(pick(20, 60) if held[i] else pick(0, 1) for i in places),
                memory=tuple(memory),
                temperature=tuple(pick(55, 70) if held[i] else pick(30, 35) for i in places),
                power=tuple(pick(200, 400) if held[i] else pick(50, 60) for i in places),
                clock=tuple(pick(1300, 1410) for _ in places),
                memory_clock=((1593, 1593, 1593),) * count,
                outside=((0, 0, 0),) * count,
                trouble=("",) * count,
            ),
            processes=Processes(
                gpu=tuple(busy),
                pid=tuple(10_000 + claim % 4_000_000 for claim in owners),
                user=("ada",) * len(busy),
                name=("python",) * len(busy),
                memory=tuple(int(memory[place][0]) for place in busy),
                claim=tuple(owners),
            ),
            shares=Shares(
                claim=tuple(shares),
                task=tuple(one.task for one in shares.values()),
                attempt=tuple(one.attempt for one in shares.values()),
                cpu=tuple(pick(300, 700) for _ in shares),
                memory=tuple(pick(20_000, 21_000) for _ in shares),
                processes=((9, 9, 9),) * len(shares),
                gpu=tuple(pick(60, 100) for _ in shares),
                gpu_memory=tuple(pick(20_000, 60_000) for _ in shares),
            ),
        )
