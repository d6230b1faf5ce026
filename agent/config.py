"""What an agent is told when it is started."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from ..core import units
from ..core.artifacts import NATS
from ..core.fleet.served import GpuCount
from ..core.fleet.services import LIMITS, with_limits
from ..core.spec import Limits, Spec
from ..core.trackers import TRACKERS
from .sources.credentials import Protocol

OnDisconnect = Literal["freeze", "run", "stop"]

FREEZE_SHARE = 0.8
"""The part of a lease after which a silent server means: freeze. The rest is the safety margin
between the last process that may run here and the first that may run elsewhere."""

RENEW_SHARE = 0.25
"""The part of a lease after which it is renewed."""


def parse_kinds(text: str) -> dict[str, int]:
    """The bytes that each kind of cache may take, out of `KIND=SIZE,…`."""
    pairs = (part.partition("=") for part in text.split(",") if part)
    return {kind.strip(): units.size(size) for kind, _, size in pairs}


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """An agent's settings; times are in seconds, sizes in bytes.

    `cpus` and `memory` are what all its tasks together may ask for, null for all of the machine.
    `patience` is how long a task may be passed by before room is kept for it.

    `docker` is the image for tasks that ask for none, `docker_for` the same by queue;
    `docker_args` are the administrator's for every container, `docker_allow` the guarded ones
    that a task may use (see `core.container`). `trusted` is the file of authorities for TLS.
    `slots` of 0 are as many as there are GPUs for tasks, but at least one; `gpus` is read by
    `gpus.choice`, `queue_gpus` is how many of them a task of a queue gets that asks for none.
    The machine is looked at each `sample_every`, and told of each `report_every`; 0 is never.
    A task that says and uses nothing for `quiet_after` is told to be quiet; 0 is never.
    `drain_timeout` is how long tasks may run on when the agent was told to stop; `schedule` is
    written as `core.schedule` tells, and `outside` says what becomes of tasks when it closes.
    `gather` is when the members of a gang may keep places for each other, `address` where those on
    other machines reach rank 0; empty finds it. `artifacts` is the depot that tasks save to,
    `artifact_bytes` the largest that the server takes.
    """

    name: str = ""
    queues: tuple[str, ...]
    order: str = "strict"
    slots: int = 0
    labels: dict[str, str] = {}
    gpus: str = "all"
    queue_gpus: dict[str, GpuCount] = {}
    gpu_readings: Path | None = None
    gpu_foreign: int = 200 * 2**20
    cpus: float | None = None
    memory: int | None = None
    patience: float = 60.0
    lease: float = 10.0
    grace: float = 30.0
    drain_timeout: float | None = None
    schedule: str = ""
    time_zone: str = ""
    outside: Literal["finish", "give-back"] = "finish"
    services: bool = False
    service_limits: Limits = LIMITS
    keep: float = 7200.0
    gather: float = 60.0
    address: str = ""
    on_disconnect: OnDisconnect = "freeze"
    state: Path
    cache: Path
    log_bytes: int = 64 * 2**20
    spool_bytes: int = 256 * 2**20
    docker: str | None = None
    docker_for: dict[str, str] = {}
    docker_args: tuple[str, ...] = ()
    docker_allow: frozenset[str] = frozenset()
    allow_setup: bool = False
    allow_apt: bool = False
    allow_client: bool = False
    extra_ca: Path | None = None
    trusted: Path | None = None
    git_credentials: Path | None = None
    git_protocol: Protocol = "auto"
    git_ssh: str = "ssh"
    no_wait: bool = False
    pass_env: tuple[str, ...] = ()
    secrets_env: tuple[str, ...] = ()
    secrets_file: Path | None = None
    limits: Literal["try", "require"] = "try"
    max_timeout: float | None = None
    disk_floor: str = "auto"
    cache_bytes: int = 100 * 2**30
    cache_kinds: Mapping[str, int] = {}
    trackers: frozenset[str] = frozenset(TRACKERS)
    artifacts: str = NATS
    artifact_bytes: int = 10 * 2**30
    sample_every: float = 0.5
    report_every: float = 10.0
    quiet_after: float = 3600.0

    def limits_of(self, spec: Spec) -> Limits | None:
        """What a task may use at most: what it asked for, and what a service is given anyway."""
        return with_limits(spec.limits, self.service_limits) if self.services else spec.limits

    @property
    def renew_every(self) -> float:
        """Seconds between two renewals of the lease."""
        return self.lease * RENEW_SHARE

    @property
    def safe_for(self) -> float:
        """Seconds after a renewal for which a task may surely run."""
        return self.lease * FREEZE_SHARE
