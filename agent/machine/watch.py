"""Looks at the machine twice a second, and sends a sample of that every few seconds.

The looking is done by a thread that shares nothing with the event loop but a list of attempts and
the finished samples: whatever the kernel takes to answer, nobody waits for it. A sample that the
server did not take is not sent again, see docs/decisions/0016.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Collection, Iterator

from ...core.bus.connect import Bus
from ...core.bus.requests import ApiError
from ...core.errors import ServerFull
from ...core.fleet.quiet import is_idle
from ...core.fleet.samples import Sample
from ...core.ports import BusAway
from ...core.sdk.author import now
from ...core.subjects import samples
from ...core.wire import encode_sample
from ..config import Config
from ..gpus.port import Gpu, Gpus
from .gpu_watch import GpuWatch
from .host import Host
from .share import Share
from .summary import Look, Summary

log = logging.getLogger(__name__)

LEAST_SECONDS = 1.0
"""Between two samples: when tasks start and end all the time, one tells of many."""


class MachineWatch:
    """One per agent. Does nothing until `run`, and nothing at all if reports are off."""

    def __init__(
        self, bus: Bus, config: Config, instance: str, gpus: Gpus, chosen: Collection[Gpu]
    ) -> None:
        """`chosen` are the GPUs that are this agent's."""
        self._bus = bus
        self._config = config
        self._instance = instance
        self._gpus = gpus
        self._chosen = tuple(chosen)
        self._shares: dict[int, Share] = {}
        self._idle: dict[int, int] = {}
        """By claim, since when an attempt uses as good as nothing."""
        self._hurry = False
        self._stop = threading.Event()
        self._made: asyncio.Queue[Sample] = asyncio.Queue()
        self._refused = ""
        self.dropped = 0
        """How many samples in a row the server did not hear."""

    # --- attempts -----------------------------------------------------------------------------

    def started(self, claim: int, task: str, attempt: int, pid: int) -> None:
        """An attempt's command runs: its share is part of the next sample, which comes at once."""
        self._shares[claim] = Share(claim, task, attempt, pid)
        self._hurry = True

    def ended(self, claim: int) -> None:
        """An attempt is over."""
        self._idle.pop(claim, None)
        if self._shares.pop(claim, None):
            self._hurry = True

    def idle_since(self, claim: int) -> int | None:
        """Since when an attempt uses as good as nothing; null if it uses something, or if nobody
        looks. In microseconds since 1970."""
        return self._idle.get(claim)

    # --- in the event loop --------------------------------------------------------------------

    async def run(self) -> None:
        """Send samples without end."""
        if not self._config.report_every:
            await asyncio.Event().wait()
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._look_on, args=(loop,), name="machine", daemon=True).start()
        try:
            while True:
                sample = await self._made.get()
                self._note_use(sample)
                await self._send(sample)
        finally:
            self._stop.set()

    def _note_use(self, sample: Sample) -> None:
        shares = sample.shares
        if shares is None:
            return
        for claim, cpu, gpu in zip(shares.claim, shares.cpu, shares.gpu, strict=True):
            if claim in self._shares and is_idle(cpu and cpu[0], gpu and gpu[0]):
                self._idle.setdefault(claim, sample.at)
            else:
                self._idle.pop(claim, None)

    async def _send(self, sample: Sample) -> None:
        subject, id = samples(sample.agent), f"{sample.instance}-{sample.number}"
        try:
            if not self._bus.standing.is_set():
                raise BusAway("the connection is gone")
            await self._bus.samples.publish(subject, encode_sample(sample), id)
        except BusAway:
            self.dropped += 1
        except (ApiError, ServerFull) as error:
            if str(error) != self._refused:
                log.warning("the server does not take samples of this machine: %s", error)
            self._refused = str(error)
        else:
            if self.dropped:
                log.info("%d samples of this machine were dropped meanwhile", self.dropped)
            self.dropped = 0

    # --- in the thread ------------------------------------------------------------------------

    def _look_on(self, loop: asyncio.AbstractEventLoop) -> None:
        gpus = GpuWatch(self._gpus, self._config.sample_every, self._chosen)
        gpus.start()
        try:
            for sample in self._samples(gpus):
                loop.call_soon_threadsafe(self._made.put_nowait, sample)
        except Exception:
            if not self._stop.is_set():  # else the loop has ended, too
                log.exception("the machine is not looked at any more")
        finally:
            gpus.stop()

    def _samples(self, gpus: GpuWatch) -> Iterator[Sample]:
        config = self._config
        host, summary = Host((config.state, config.cache)), Summary(gpus.devices)
        began = time.monotonic()
        due, number = began + LEAST_SECONDS, 0
        while not self._stop.wait(config.sample_every):
            if self._hurry:
                # Before the look, which sees what began until now; what begins later hurries again.
                self._hurry, due = False, min(due, began + LEAST_SECONDS)
            summary.add(self._look(host, gpus))
            here = time.monotonic()
            if here < due:
                continue
            yield summary.sample(
                agent=config.name,
                instance=self._instance,
                number=number,
                at=now(),
                seconds=here - began,
                trouble=gpus.trouble,
            )
            summary, number = Summary(gpus.devices), number + 1
            began, due = here, here + config.report_every

    def _look(self, host: Host, gpus: GpuWatch) -> Look:
        shares = list(self._shares.values())
        return Look(
            host=host.read(),
            gpus=gpus.newest(),
            shares=tuple((share, seen) for share in shares if (seen := share.read())),
        )
