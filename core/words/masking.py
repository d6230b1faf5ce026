"""Values that are not for everybody's eyes."""

from __future__ import annotations

import re

MASK = "********"
_SECRET = re.compile(r"token|secret|passw|credential|api_?key|_key\Z", re.IGNORECASE)


def masked(name: str, value: str) -> str:
    """`value`, unless the variable's name says that it is a secret."""
    return MASK if looks_secret(name) else value


def looks_secret(name: str) -> bool:
    """Whether the variable's name says that its value is a secret."""
    return bool(_SECRET.search(name))
