"""Whose turn it is in an array of which at most so many members may stand in line or run at once.

The last event on the array's own subject has the whole truth. A member whose turn has not come is
held. It comes in one batch with the end of another one, so that no crash can lose it and no two
members get the same. See docs/decisions/0044.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace


class Turns(
    msgspec.Struct, frozen=True, tag_field="kind", tag="turns", omit_defaults=True, kw_only=True
):
    """The members of an array, by place: those that `have` their turn, the `next` that never had
    one, and before that one those who wait `again` because somebody put them back."""

    array: str
    size: int
    most: int
    next: int
    have: tuple[int, ...] = ()
    again: tuple[int, ...] = ()

    @property
    def full(self) -> bool:
        """Whether nobody can get a turn now."""
        return len(self.have) >= self.most

    @property
    def following(self) -> int | None:
        """Whose turn comes next; null if nobody waits."""
        if self.again:
            return self.again[0]
        return self.next if self.next < self.size else None

    def without(self, place: int) -> Turns:
        """After a member has ended, or left the line of those who wait."""
        return replace(
            self,
            have=tuple(one for one in self.have if one != place),
            again=tuple(one for one in self.again if one != place),
        )

    def passed(self, place: int) -> Turns:
        """After it was looked at whose turn comes next."""
        if place in self.again:
            return self.without(place)
        return replace(self, next=place + 1)

    def given(self, place: int) -> Turns:
        """After a member has got its turn."""
        return replace(self.without(place), have=(*self.have, place))

    def put_back(self, place: int) -> Turns:
        """After a member that had ended waits for its turn once more."""
        return replace(self.without(place), again=(*self.again, place))


class Released(msgspec.Struct, frozen=True, tag_field="kind", tag="released"):
    """The turn of a member has come: it goes to its queue."""


def first_turns(array: str, size: int, most: int) -> Turns:
    """Of a new array: the first members have their turn."""
    first = min(size, most)
    return Turns(array=array, size=size, most=most, next=first, have=tuple(range(first)))
