"""How many attempts of a queue may be live at once: permits, of which each holds one.

The last event on the queue's own subject has the whole truth: the limits, and who holds a permit.
A claim takes a permit and an end returns it in the same batch of events, each expecting the event
before, so that no more attempts are live in the log than there are permits. See
docs/decisions/0024.
"""

from __future__ import annotations

from collections import Counter

import msgspec
from msgspec.structs import replace


class Permit(msgspec.Struct, frozen=True, array_like=True):
    """The right of one attempt to be live: of a user's task, held by an agent's instance."""

    task: str
    user: str
    agent: str
    instance: str


class Permits(
    msgspec.Struct, frozen=True, tag_field="kind", tag="permits", omit_defaults=True, kw_only=True
):
    """What limits a queue from now on, and which attempts hold its permits.

    `most` is how many may be live at once, `per_user` how many of each user; null is no limit.
    """

    queue: str
    reason: str
    most: int | None = None
    per_user: int | None = None
    held: tuple[Permit, ...] = ()

    @property
    def limited(self) -> bool:
        """Whether an attempt needs a permit."""
        return self.most is not None or self.per_user is not None

    @property
    def full(self) -> bool:
        """Whether nobody can get a permit now."""
        return self.most is not None and len(self.held) >= self.most

    @property
    def full_users(self) -> frozenset[str]:
        """The users who can get no permit now although others can."""
        if self.per_user is None:
            return frozenset()
        counts = Counter(permit.user for permit in self.held)
        return frozenset(user for user, count in counts.items() if count >= self.per_user)

    def lacks(self, user: str) -> str:
        """Why the user can get no permit now, in words; empty if it is not so."""
        if self.full:
            return f"{len(self.held)} of {self.most} of queue {self.queue} run"
        if self.per_user is not None and user in self.full_users:
            count = sum(permit.user == user for permit in self.held)
            return f"{count} of {self.per_user} of user {user} in queue {self.queue} run"
        return ""

    def holds(self, task: str) -> bool:
        """Whether an attempt of the task holds a permit."""
        return any(permit.task == task for permit in self.held)

    def taken(self, permit: Permit, reason: str) -> Permits:
        """After an attempt has taken a permit."""
        return replace(self, held=(*self.held, permit), reason=reason)

    def returned(self, task: str, reason: str) -> Permits:
        """After the attempt of this task has returned its permit."""
        held = tuple(permit for permit in self.held if permit.task != task)
        return replace(self, held=held, reason=reason)


def limit_text(permits: Permits) -> str:
    """`2 of 4 of queue gpu run, at most 1 of each user`."""
    run = f"{len(permits.held)} of queue {permits.queue} run"
    if permits.most is not None:
        run = f"{len(permits.held)} of {permits.most} of queue {permits.queue} run"
    each = f", at most {permits.per_user} of each user" if permits.per_user is not None else ""
    return run + each
