"""What confines one attempt: its limits, and how it is known that it went over that of memory."""

from __future__ import annotations

import time
from collections.abc import Callable

from ...core.fleet.services import with_limits
from ...core.spec import Limits, Spec
from ..means import Means
from ..supervision.forkserver import Supervisor
from .cgroups import Cgroup


class Confinement:
    """The limits of one attempt, from its claim to the end of its last process.

    An attempt without limits has no cgroup, and costs nothing here.
    """

    def __init__(self, means: Means, spec: Spec, name: str) -> None:
        self._means = means
        self._limits = self._possible_for_services(spec)
        wishes = (spec.timeout, means.config.max_timeout)
        self.seconds = min(filter(None, wishes), default=None)
        """How long the command may run: as long as the task wants, up to what the agent allows."""
        self._allowed = self.seconds != spec.timeout
        self._name = name
        self._cgroup: Cgroup | None = None
        self._pid = 0
        self._began = time.monotonic()

    def _possible_for_services(self, spec: Spec) -> Limits | None:
        """The task's limits with those of a service that this machine can put into force: nobody
        asked for the others, so that nothing is wrong without them."""
        if not self._means.config.services:
            return spec.limits
        possible, _ = self._means.cgroups.possible(self._means.config.service_limits)
        return with_limits(spec.limits, possible)

    def enter(self, supervisor: Supervisor, say: Callable[[str], None]) -> None:
        """Have everything that the supervisor starts from now on run inside the limits.

        Raises `MachineFailed` if they cannot be put into force and the agent's setting `limits`
        is `require`; otherwise that is said in the log, and the rest of them holds.
        """
        if self._limits is None:
            return
        cgroups, wanted = self._means.cgroups, self._limits
        if self._means.config.limits == "try":
            wanted, lacking = cgroups.possible(wanted)
            for line in lacking:
                say(f"the task runs without a limit that it asked for: {line}")
        if wanted != Limits():
            self._cgroup = cgroups.attempt(self._name, wanted)
            supervisor.confine(self._cgroup.folders)

    def started(self, pid: int) -> None:
        """The command runs."""
        self._pid = pid
        self._began = time.monotonic()
        self._means.memory.running.add(pid)

    @property
    def out_of_time(self) -> str:
        """What is said when the command's time has run out."""
        why = f"it ran longer than {self.seconds or 0:g} s"
        return f"{why}, the most that this agent allows" if self._allowed else why

    def memory_death(self, exit_code: int, say: Callable[[str], None]) -> str:
        """Why it is known that want of memory ended the command; empty if it is not.

        A command that went on without a part that the kernel ended gets a line in its log.
        """
        memory = self._means.memory
        told = memory.evidence_of(self._cgroup) if self._cgroup else ""
        if told and exit_code == 0:
            say(f"the command completed, although {told}")
        return told or memory.evidence(exit_code, self._pid, self._began)

    def memory_death_in_set_up(self) -> str:
        """The same for a command of set-up that has failed."""
        return self._means.memory.evidence_of(self._cgroup) if self._cgroup else ""

    async def leave(self) -> None:
        """The attempt is over."""
        self._means.memory.running.discard(self._pid)
        if self._cgroup:
            await self._cgroup.remove()
