"""A pull's many words about its layers, made into a few lines for a log."""

from __future__ import annotations

from typing import Any

from ...core.units import size_text

STEP_BYTES = 64 * 2**20
"""How much more must have come for another line."""


class Progress:
    """What is known of a pull so far."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._layers: dict[str, tuple[int, int]] = {}
        self._told = -1

    def heard(self, word: dict[str, Any]) -> str | None:
        """Take one word of the engine; the line to show, if there is news."""
        status = str(word.get("status", ""))
        layer, detail = word.get("id"), word.get("progressDetail")
        if status.startswith(("Digest:", "Status:")):
            return status
        if status == "Downloading" and layer and detail:
            self._layers[layer] = (int(detail.get("current", 0)), int(detail.get("total", 0)))
        elif status in ("Download complete", "Pull complete") and layer in self._layers:
            self._layers[layer] = (self._layers[layer][1],) * 2
        else:
            return None
        done = sum(done for done, _ in self._layers.values())
        if done // STEP_BYTES == self._told:
            return None
        self._told = done // STEP_BYTES
        total = sum(total for _, total in self._layers.values())
        return (
            f"pulling {self._name}: {size_text(done)} of {size_text(total)}"
            f" in {len(self._layers)} layers"
        )
