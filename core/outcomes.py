"""How an attempt can end, and why: two closed lists, so that queries can count on them."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """How an attempt, and so a task, can end."""

    COMPLETED = "completed"
    FAILED = "failed"
    ABORTED = "aborted"
    TIMED_OUT = "timed_out"

    @property
    def phrase(self) -> str:
        """What one says of such a task."""
        return {"aborted": "was aborted", "timed_out": "ran out of time"}.get(self, self.value)


class Cause(StrEnum):
    """Why an attempt did not complete. The list is closed, so that queries can count on it."""

    CODE = "code"
    """The command ended with an exit status of its own that is not 0."""
    SIGNAL = "signal"
    """A signal ended the command and evq did not send it."""
    OOM_HOST = "oom_host"
    """The kernel ended it for want of memory."""
    SOURCE = "source"
    """The code could not be put in place."""
    ENVIRONMENT = "environment"
    """The environment could not be built."""
    SPAWN = "spawn"
    """The command could not be started."""
    TIME = "time"
    """It ran longer than its time limit."""
    ABORT = "abort"
    """Somebody asked for its end."""
    LOST_AGENT = "lost_agent"
    """Its agent went silent for longer than the lease."""
    DRAINED = "drained"
    """Its agent was stopped and gave the task back."""
    DEPENDENCY = "dependency"
    """A task that it awaited ended in another way than it was to."""
    INFRASTRUCTURE = "infrastructure"
    """The agent could not do its part, for example for want of disk space."""
    GANG = "gang"
    """Another member of its gang ended without success, or not all of them came together."""
