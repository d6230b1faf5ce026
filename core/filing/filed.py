"""The events by which a task is filed otherwise, and what its tags are after them."""

from __future__ import annotations

import re

import msgspec

from ..errors import UsageError

LONGEST_TAG = 100
MOST_TAGS = 100


class Tagged(
    msgspec.Struct, frozen=True, tag_field="kind", tag="tagged", omit_defaults=True, kw_only=True
):
    """Somebody gave the task tags, and took others away."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


class Archived(msgspec.Struct, frozen=True, tag_field="kind", tag="archived"):
    """Somebody is done with a task that has ended: lists leave it out unless they are asked."""

    reason: str


class Unarchived(msgspec.Struct, frozen=True, tag_field="kind", tag="unarchived"):
    """Somebody wants an archived task to be in the lists again."""

    reason: str


Filed = Tagged | Archived | Unarchived


def retagged(
    tags: tuple[str, ...], add: tuple[str, ...], remove: tuple[str, ...]
) -> tuple[str, ...]:
    """Tags after some were taken away and others added: each once, the new ones behind."""
    return tuple(dict.fromkeys(tag for tag in (*tags, *add) if tag not in remove))


def difference(
    before: tuple[str, ...], after: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The tags that came, and those that went."""
    came = tuple(tag for tag in after if tag not in before)
    return came, tuple(tag for tag in before if tag not in after)


def check_tags(add: tuple[str, ...], remove: tuple[str, ...]) -> None:
    """Raise `UsageError` unless these can be added and taken away."""
    if not add and not remove:
        raise UsageError("no tag is named", fix="evq tag TASK --add paper --remove draft")
    if both := set(add) & set(remove):
        raise UsageError(
            f"the tag {min(both)!r} is to be added and removed", fix="name it in one of the two"
        )
    for tag in add:
        if not tag.strip() or not tag.isprintable() or len(tag) > LONGEST_TAG:
            raise UsageError(
                f"{tag[:LONGEST_TAG]!r} cannot be a tag",
                why=f"a tag is one line of at most {LONGEST_TAG} characters, and not empty",
                fix="--add paper",
            )


_ARCHIVED = re.compile(r"\barchived\b", re.IGNORECASE)


def names_archived(condition: str) -> bool:
    """Whether a condition says itself which archived tasks are meant. One that does not speak of
    them means none of them."""
    return bool(_ARCHIVED.search(condition))
