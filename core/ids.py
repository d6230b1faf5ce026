"""Names that become subject tokens, and task ids that a person can type.

A name (queue, agent) is 1 to 64 characters of `A-Z a-z 0-9 _ -`: it stands in a NATS subject,
where a dot, a blank, `*` or `>` would change what the subject means.

A task id is 12 characters of Crockford's base 32 in lower case (60 bits, no i, l, o, u). It is
random from its first character on, so that a prefix of three or four usually names one task.
"""

from __future__ import annotations

import hashlib
import re

from .errors import UsageError

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
TASK_ID_LENGTH = 12

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_TASK_ID = re.compile(f"[{ALPHABET}]{{{TASK_ID_LENGTH}}}\\Z")


def check_name(name: str, what: str = "name") -> str:
    """Return `name` if it may stand in a subject, else raise `UsageError`."""
    if _NAME.match(name):
        return name
    raise UsageError(
        f"{name!r} cannot be the name of a {what}",
        why="a name has 1 to 64 characters out of A-Z a-z 0-9 _ -",
        fix="choose another name, for example " + (_suggest(name) or "default"),
    )


def _suggest(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:64]


def is_task_id(text: str) -> bool:
    """Whether `text` is a whole task id (not just a prefix of one)."""
    return bool(_TASK_ID.match(text))


def is_task_prefix(text: str) -> bool:
    """Whether `text` could be the beginning of a task id."""
    return 0 < len(text) <= TASK_ID_LENGTH and all(c in ALPHABET for c in text)


def task_id(entropy: bytes) -> str:
    """A task id made from at least 8 random bytes."""
    number = int.from_bytes(entropy[:8], "big") >> 4
    return "".join(ALPHABET[(number >> shift) & 31] for shift in range(55, -1, -5))


def task_id_for_key(key: str) -> str:
    """The one task id that belongs to an idempotency key."""
    return task_id(hashlib.sha256(b"evq key\0" + key.encode()).digest())
