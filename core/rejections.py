"""Why `decide` refuses."""

from __future__ import annotations

from .errors import Conflict


class Rejected(Conflict):
    """The task's present state forbids the command."""


class ClaimLost(Rejected):
    """The attempt that speaks is no longer the live one: it must end and say nothing more."""


class NoPermit(Rejected):
    """As many attempts of the queue are live as may be."""


class TooSoon(Rejected):
    """The task failed a moment ago: the delay before its next attempt is not known to be over."""
