"""How an attempt ended: from what was seen of its processes to one of a closed list of ends."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

from ...core.decide import RETRIABLE, Finish, GiveBack, Holder
from ...core.errors import (
    ArtifactFailed,
    CodeFailed,
    ContainerFailed,
    EnvironmentFailed,
    EvqError,
    SecretFailed,
    SpawnFailed,
)
from ...core.events import Cause, Launch, Outcome, Usage
from ..supervision.forkserver import Exit
from ..supervision.refusal import MachineFailed
from . import launch

EVIDENCE_LENGTH = 2000

SET_UP_CAUSES = {
    CodeFailed: Cause.SOURCE,
    ArtifactFailed: Cause.SOURCE,
    EnvironmentFailed: Cause.ENVIRONMENT,
    ContainerFailed: Cause.ENVIRONMENT,
    SecretFailed: Cause.ENVIRONMENT,
    MachineFailed: Cause.INFRASTRUCTURE,
    SpawnFailed: Cause.SPAWN,
}
"""How a step of set-up fails, and what that is called."""


class Stopped(Exception):
    """The attempt was told to end between two of its commands."""


class Ending(Enum):
    """Why somebody other than the command itself ends it."""

    ABORT = auto()
    TIME = auto()
    LOST = auto()
    GIVE_BACK = auto()
    GANG = auto()


def of_command(
    holder: Holder,
    started: Launch,
    exit: Exit,
    wall: float,
    ending: Ending | None,
    last_error: str,
    out_of_time: str,
    memory_death: str,
    outputs: dict[str, Any],
) -> Finish | GiveBack | None:
    """The end of an attempt whose command ran for `wall` seconds; None if it is not ours to tell.

    `ending` is why it was told to end, if it was; `last_error` the last line it wrote to stderr,
    `out_of_time` what is said if its time ran out, `memory_death` what proves that the kernel
    ended it for want of memory, empty if nothing does; `outputs` is what it gave out by name.
    """
    usage = Usage(round(wall, 6), round(exit.cpu_seconds, 6), exit.max_rss_bytes)

    def finish(
        outcome: Outcome, code: int | None, cause: Cause | None = None, evidence: str = ""
    ) -> Finish:
        return Finish(holder, outcome, code, cause, evidence, usage, started, outputs=outputs)

    code = exit.exit_code
    match ending:
        case Ending.LOST:
            return None
        case Ending.GIVE_BACK:
            return given_back(holder)
        case Ending.ABORT:
            return finish(Outcome.ABORTED, code, Cause.ABORT)
        case Ending.TIME:
            return finish(Outcome.TIMED_OUT, code, Cause.TIME, out_of_time)
        case Ending.GANG:
            # What became of the others stands in the task's own events, and decides.
            return finish(Outcome.FAILED, code, Cause.GANG)
        case None:
            pass
    if exit.lease_ran_out:
        why = "ended because the server was out of reach for most of a lease"
        return finish(Outcome.FAILED, code, Cause.INFRASTRUCTURE, why)
    if exit.supervisor_lost:
        why = "its supervisor was killed, and its processes with it"
        return finish(Outcome.FAILED, None, Cause.INFRASTRUCTURE, why)
    if code == 0:
        return finish(Outcome.COMPLETED, 0)
    if memory_death:
        return finish(Outcome.FAILED, code, Cause.OOM_HOST, memory_death)
    if code < 0:
        why = f"ended by {launch.signal_name(-code)}, which evq did not send"
        return finish(Outcome.FAILED, code, Cause.SIGNAL, why)
    return finish(Outcome.FAILED, code, Cause.CODE, last_error)


def of_set_up(holder: Holder, error: EvqError, memory_death: str) -> Finish:
    """The end of an attempt whose command could not be made ready, or not be started."""
    cause = next(c for kind, c in SET_UP_CAUSES.items() if isinstance(error, kind))
    evidence = f"[{error.code}] {error}"[:EVIDENCE_LENGTH]
    if memory_death:
        cause, evidence = Cause.OOM_HOST, memory_death
    # A secret that is not there now will not be there after a retry's few seconds either.
    final = isinstance(error, SecretFailed)
    return Finish(holder, Outcome.FAILED, cause=cause, evidence=evidence, final=final)


def before_command(holder: Holder, ending: Ending | None) -> Finish | GiveBack | None:
    """The end of an attempt that was told to end before its command ran."""
    match ending:
        case Ending.ABORT:
            return Finish(holder, Outcome.ABORTED, cause=Cause.ABORT)
        case Ending.GIVE_BACK:
            return given_back(holder)
        case Ending.GANG:
            return Finish(holder, Outcome.FAILED, cause=Cause.GANG)
        case Ending.LOST | Ending.TIME | None:
            return None


def given_back(holder: Holder) -> GiveBack:
    """The end of an attempt whose agent was told to end."""
    return GiveBack(holder, "its agent was stopped")


def by_agent(holder: Holder, evidence: str) -> Finish:
    """The end of an attempt that the agent itself could not carry through."""
    return Finish(holder, Outcome.FAILED, cause=Cause.INFRASTRUCTURE, evidence=evidence)


def is_worth_a_look(end: Finish | GiveBack | None) -> bool:
    """Whether the task failed by its own doing, so that somebody may want to see its folder."""
    return (
        isinstance(end, Finish)
        and end.outcome in RETRIABLE
        and end.cause not in (Cause.INFRASTRUCTURE, Cause.GANG)
    )
