"""The trackers whose words an agent hears, besides evq's own."""

from __future__ import annotations

TRACKERS = ("mlflow", "tensorboard")
FORMS = "all, none, or names out of mlflow and tensorboard with a comma between"


def read_trackers(text: str) -> frozenset[str]:
    """The names that `text` says. Raises ValueError."""
    if text in ("all", "none"):
        return frozenset(TRACKERS if text == "all" else ())
    names = frozenset(name.strip() for name in text.split(","))
    if not names <= set(TRACKERS):
        raise ValueError(f"{text} is not understood: it wants {FORMS}")
    return names
