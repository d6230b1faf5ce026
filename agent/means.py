"""What every attempt of an agent works with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.author import Author
from ..core.bus.connect import Bus, Login
from ..core.fleet.presence import AgentPresence
from .attempts.kept import Kept
from .attempts.lease import LeaseKeeper
from .attempts.results import Results
from .caretaker import Caretaker
from .config import Config
from .gpus.pool import Pool
from .instances.diary import Diary
from .limits.cgroups import Cgroups
from .limits.memory import MemoryWatch
from .machine.watch import MachineWatch
from .reporting.outbox import Outbox
from .reporting.redactor import Redactor
from .secret_sources import SecretSources
from .supervision.forkserver import Forkserver
from .trackers.door import Door


@dataclass(frozen=True)
class Means:
    """One set per agent process. `sdk` is the folder that makes `import evq` work in a task;
    `redactor` knows the passwords of the agent's own that set-up may print; `door` is where
    MLflow clients call, None if they are not to; `login` is the agent's own, `client` that of
    tasks that ask for one."""

    bus: Bus
    author: Author
    config: Config
    instance: str
    host: str
    forkserver: Forkserver
    keeper: LeaseKeeper
    outbox: Outbox
    results: Results
    kept: Kept
    sdk: Path
    secrets: SecretSources
    redactor: Redactor
    cgroups: Cgroups
    memory: MemoryWatch
    caretaker: Caretaker
    watch: MachineWatch
    pool: Pool
    diary: Diary
    door: Door | None
    login: Login
    client: Login

    def presence(self, claims: tuple[int, ...], **more: Any) -> AgentPresence:
        """What the agent says of itself: what it is, which claims it holds, and `more`."""
        config = self.config
        facts = {
            "agent": config.name,
            "instance": self.instance,
            "host": self.host,
            "pid": os.getpid(),
            "queues": config.queues,
            "order": config.order,
            "slots": config.slots,
            "services": config.services,
            "client": config.allow_client,
        }
        return AgentPresence(**{**facts, "claims": claims, **more})
