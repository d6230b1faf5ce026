"""The fleet in a row of numbers, which are filters, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from nicegui import ui

from .....core.words.phrases import ago
from ...style import COLOURS
from .picture import Totals

_NEUTRAL = COLOURS["idle"]


class Tile(msgspec.Struct, frozen=True):
    """A number; `key` is what it filters by, and `place` says of which part of the totals it is."""

    key: str
    label: str
    colour: str
    number: Callable[[Totals], int]
    always: bool = True
    """Whether it is there when there is none."""


TILES = (
    Tile("", "workers", _NEUTRAL, lambda all: all.workers),
    Tile("busy", "● busy", COLOURS["busy"], lambda all: all.states.get("busy", 0)),
    Tile("idle", "○ idle", COLOURS["idle"], lambda all: all.states.get("idle", 0)),
    Tile(
        "held-back", "◐ held back", COLOURS["drained"], lambda all: all.states.get("held-back", 0)
    ),
    Tile("gone", "✕ gone", COLOURS["offline"], lambda all: all.states.get("gone", 0)),
    Tile("gpu-busy", "GPUs busy", COLOURS["busy"], lambda all: all.gpus.get("busy", 0)),
    Tile("gpu-idle", "GPUs idle", COLOURS["idle"], lambda all: all.gpus.get("idle", 0)),
    Tile(
        "gpu-outside",
        "GPUs outside",
        COLOURS["outside"],
        lambda all: all.gpus.get("outside", 0),
    ),
    Tile(
        "gpu-drained",
        "GPUs drained",
        COLOURS["drained"],
        lambda all: all.gpus.get("drained", 0),
        False,
    ),
    Tile("gpu-offline", "GPUs offline", COLOURS["offline"], lambda all: all.gpus.get("offline", 0)),
)

FILTERS = frozenset(tile.key for tile in TILES)


class Tiles:
    """The tiles; `choose` is called with the key of one that is pressed, or with none."""

    def __init__(self, totals: Totals, chosen: str, choose: Callable[[str], None]) -> None:
        self._chosen = chosen
        self._choose = choose
        self._tiles: dict[str, ui.element] = {}
        self._numbers: dict[str, ui.label] = {}
        with ui.element("div").classes("evq-tiles").props("role=toolbar aria-label='the fleet'"):
            for tile in TILES:
                self._add(tile)
            self._running = self._plain("tasks run")
            self._queued = self._plain("tasks wait")
            self._waited = self._plain("waited, 24 h")
            self._failed = self._plain("failed, 24 h")
        self.show(totals)

    def _add(self, tile: Tile) -> None:
        made = ui.element("button").classes("evq-tile").style(f"--tile: {tile.colour}")
        made.on("click", lambda: self._press(tile.key)).classes(f"evq-tile-{tile.key or 'all'}")
        with made:
            self._numbers[tile.key] = _bold("")
            _small(tile.label)
        self._tiles[tile.key] = made

    def _plain(self, label: str) -> ui.label:
        with ui.element("div").classes("evq-tile plain"):
            number = _bold("").classes(f"evq-tile-{label.split(',')[0].replace(' ', '-')}")
            _small(label)
        return number

    def say_day(self, day: Mapping[str, Any]) -> None:
        """What the last day was like: a row of the question `fleet_ends`."""
        waited = [day[name] for name in ("wait_median", "wait_high") if day[name] is not None]
        _say(self._waited, " · ".join(ago(0, round(one * 1e6)) for one in waited) or "–")
        self._waited.classes("!text-base leading-7 whitespace-nowrap").tooltip(
            "half of the tasks, and 95 % of them"
        )
        _say(self._failed, f"{day['failed']}")
        self._failed.tooltip(day["causes"] or "no cause is known")

    def _press(self, key: str) -> None:
        self._chosen = "" if key == self._chosen else key
        self._press_in()
        self._choose(self._chosen)

    def _press_in(self) -> None:
        for key, tile in self._tiles.items():
            pressed = "true" if key and key == self._chosen else "false"
            tile.props(f"aria-pressed={pressed}")

    def show(self, totals: Totals) -> None:
        """Let them say these numbers."""
        gpus = sum(totals.gpus.values())
        for tile in TILES:
            number = tile.number(totals)
            _say(self._numbers[tile.key], f"{number}")
            there = bool(number) or (tile.always and (gpus > 0 or not tile.key.startswith("gpu")))
            self._tiles[tile.key].set_visibility(there or tile.key == self._chosen)
        _say(self._running, f"{totals.running}")
        _say(self._queued, f"{totals.queued}")
        self._press_in()


def _bold(text: str) -> ui.label:
    return ui.label(text).classes("text-xl font-semibold tabular-nums")


def _small(text: str) -> None:
    ui.label(text).classes("evq-small")


def _say(label: ui.label, text: str) -> None:
    if label.text != text:
        label.set_text(text)
