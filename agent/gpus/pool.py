"""An agent's GPUs, shared out among its tasks.

The pool knows three things of each: what the ledger of the machine says, by which several agents
share one machine; who uses it outside evq; and whether it works. A task's GPUs are entered in the
ledger before its claim is appended to the log, and leave it when the log has the attempt's end.
So no GPU is in two live attempts, however agents die.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from ...core.container import Arguments
from ...core.fleet.resources import Device, Request
from ...core.fleet.served import GpuCount, wanted
from ..machine.gpu_watch import GpuWatch
from . import visible
from .assign import assign
from .ledger import Busy, Claim, Held, Ledger, Left
from .port import Gpu, Gpus, Reading
from .strangers import stranger

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks at the GPUs and at the claims of other agents."""


@dataclass(frozen=True)
class Assignment:
    """What one attempt has: `gpus`, of each `gpu_memory` bytes, or all if that is None.

    `only` says that it must not use any others of the machine.
    """

    gpus: tuple[Gpu, ...] = ()
    gpu_memory: int | None = None
    held: Held | None = None
    only: bool = True

    @property
    def ids(self) -> tuple[str, ...]:
        """The GPUs as the log has them."""
        return tuple(gpu.id for gpu in self.gpus)

    def confirm(self, token: int) -> None:
        """The log has the claim."""
        if self.held:
            self.held.confirm(token)


NOTHING = Assignment()
ANY = Assignment(only=False)


class Pool:
    """The GPUs that an agent gives to tasks, and which are free."""

    def __init__(
        self,
        port: Gpus,
        chosen: Sequence[Gpu],
        ledger: Ledger,
        *,
        agent: str,
        instance: str,
        counts: dict[str, GpuCount],
        foreign: int,
    ) -> None:
        """`counts` are by queue; `foreign` is how many bytes a process outside evq may have of a
        GPU before that counts as used."""
        self.port = port
        self.chosen = tuple(chosen)
        self.left: list[Left] = []
        """Claims of dead attempts that the log may still show as live."""
        self._there = bool(port.devices())
        self._watch = GpuWatch(port, LOOK_EVERY)
        self._ledger = ledger
        self._agent = agent
        self._instance = instance
        self._counts = counts
        self._foreign = foreign
        self._nodes = {gpu.id: gpu.node for gpu in chosen}
        self._claims: list[Claim] = []
        self._strangers: dict[str, str] = {}
        self._troubles: dict[str, str] = {}
        self._drained: dict[str, str] = {}
        self._devices = self._seen()
        self.look_at_claims()
        self.hear_readings(port.read())

    # --- what there is --------------------------------------------------------------------------

    @property
    def free(self) -> tuple[Device, ...]:
        """The GPUs as they were at the last look, with what is free of each."""
        return self._devices

    @property
    def offer(self) -> tuple[Device, ...]:
        """The GPUs with all that tasks could have of them if nobody used any."""
        return tuple(
            replace(device, free_memory=device.memory, held=False, foreign="")
            for device in self._devices
        )

    def variables(self, assignment: Assignment) -> dict[str, str]:
        """The variables by which a task sees its GPUs only; none where there are no GPUs."""
        if not (self._there and assignment.only):
            return {}
        return visible.variables(assignment.gpus, assignment.gpu_memory)

    def arguments(self, said: Arguments, assignment: Assignment) -> Arguments:
        """What is `said` of a task's container, with the task's GPUs only."""
        if not (self._there and assignment.only):
            return said
        return visible.arguments(said, assignment.gpus)

    def wanted(self, request: Request, queue: str) -> Request:
        """What a task needs here at least: its own request, or its queue's count."""
        return wanted(request, self._counts.get(queue))

    # --- who has what ---------------------------------------------------------------------------

    def reserve(self, request: Request, queue: str, task: str, hint: int) -> Assignment | None:
        """GPUs for a task whose queue message is `hint`; None if too few are free now."""
        least = most = self.wanted(request, queue).gpus
        if not request.gpus and (count := self._counts.get(queue)):
            most = count.most
        if most == 0:
            return NOTHING
        try:
            with self._ledger.open() as ledger:
                self._hear_claims(ledger.claims, ledger.left)
                ids = assign(self._devices, self._nodes, least, most, request.gpu_memory)
                if not ids:
                    return None if ids is None else NOTHING
                claim = Claim(
                    task=task,
                    hint=hint,
                    agent=self._agent,
                    instance=self._instance,
                    gpus=ids,
                    gpu_memory=request.gpu_memory,
                )
                held = ledger.write(claim)
        except (Busy, OSError) as error:
            self._lock(error)
            return None
        self._hear_claims([*self._claims, claim], self.left)
        gpus = tuple(gpu for gpu in self.chosen if gpu.id in ids)
        return Assignment(gpus, request.gpu_memory, held)

    def release(self, assignment: Assignment, told: bool = True) -> None:
        """The attempt is over, and all its processes are dead.

        If the log was not `told`, its GPUs are free only when somebody has seen to that.
        """
        if assignment.held and not told:
            assignment.held.leave()
            self.look_at_claims()
        elif assignment.held:
            assignment.held.release()
            ours = assignment.held.claim.key
            self._claims = [claim for claim in self._claims if claim.key != ours]
            self._devices = self._seen()

    def drain(self, gpus: Mapping[str, str]) -> None:
        """Give these GPUs to nobody more, each for a reason, and all others to tasks again."""
        self._drained = dict(gpus)
        self._devices = self._seen()

    # --- looking --------------------------------------------------------------------------------

    async def run(
        self,
        changed: Callable[[], Awaitable[None]],
        settle: Callable[[Left], Awaitable[bool]],
    ) -> None:
        """Look without end; `changed` is told when there is something new. `settle` sees to it
        that a dead attempt is over in the log, and says whether it is."""
        if self.chosen:
            self._watch.start()
        try:
            while True:
                await self.look(changed, settle)
                await asyncio.sleep(LOOK_EVERY)
        finally:
            self._watch.stop()

    async def look(
        self,
        changed: Callable[[], Awaitable[None]],
        settle: Callable[[Left], Awaitable[bool]],
    ) -> None:
        """Look once; see `run`."""
        before = self._devices
        self.look_at_claims()
        self.hear_readings(self._watch.newest())
        for left in self.left:
            if await settle(left):
                left.remove()
                self.look_at_claims()
        if self._devices != before:
            await changed()

    def hear_readings(self, readings: Sequence[Reading]) -> None:
        """What strangers do is judged now: the next attempt may have a GPU before the next look."""
        for reading in readings:
            tasks = {claim.task for claim in self._claims if reading.id in claim.gpus}
            self._strangers[reading.id] = stranger(reading, tasks, self._foreign)
            self._troubles[reading.id] = reading.trouble
        self._devices = self._seen()

    def look_at_claims(self) -> None:
        """See what the agents of this machine have claimed."""
        if not self.chosen:
            return
        try:
            with self._ledger.open() as ledger:
                self._hear_claims(ledger.claims, ledger.left)
        except (Busy, OSError) as error:
            self._lock(error)

    def _lock(self, error: Busy | OSError) -> None:
        """Who has the GPUs is not known: nobody gets one until it is."""
        why = f"the ledger of this machine's GPUs cannot be used: {error}"
        log.warning("%s", why)
        self._devices = tuple(replace(device, broken=why) for device in self._devices)

    def _hear_claims(self, claims: list[Claim], left: list[Left]) -> None:
        self._claims, self.left = claims, left
        self._devices = self._seen()

    def _seen(self) -> tuple[Device, ...]:
        return tuple(self._device(gpu) for gpu in self.chosen)

    def _device(self, gpu: Gpu) -> Device:
        claims = [claim for claim in self._claims if gpu.id in claim.gpus]
        whole = any(claim.gpu_memory is None for claim in claims)
        shared = sum(claim.gpu_memory or 0 for claim in claims)
        return Device(
            id=gpu.id,
            index=gpu.index,
            name=gpu.name,
            memory=gpu.memory,
            free_memory=0 if whole else max(0, gpu.memory - shared),
            held=whole,
            foreign=self._strangers.get(gpu.id, ""),
            drained=self._drained.get(gpu.id, ""),
            broken=self._watch.trouble or self._troubles.get(gpu.id, ""),
        )
