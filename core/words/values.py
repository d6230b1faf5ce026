"""Values of parameters and options in words."""

from __future__ import annotations

from typing import Any

from ..spec import After
from ..units import duration_text, size_text

NOTHING = "–"

_SECONDS = frozenset({"timeout", "grace", "keep"})


def value_text(name: str, value: Any, nothing: str = NOTHING) -> str:
    """A value as a person would write it; `nothing` stands for one that is missing."""
    match value:
        case None | () | "":
            return nothing
        case bool():
            return str(value).lower()
        case float() if name in _SECONDS:
            return duration_text(value)
        case float():
            return repr(value) if len(repr(value)) <= 9 else f"{value:.6g}"
        case int() if name == "memory":
            return size_text(value)
        case After(task, on):
            return f"{task}:{on}"
        case tuple() | list():
            return " ".join(value_text(name, one, nothing) for one in value)
        case _:
            return str(value)
