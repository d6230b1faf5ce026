"""The first lines of the page of one queue or worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from nicegui import ui

from ...asking import Snack
from ...style import SYMBOLS

Orders = TypeVar("Orders")


class Head(Generic[Orders]):
    """Its name, its state, the `orders` that it may be given, and facts about it."""

    def __init__(self, name: str, orders: Callable[[Snack], Orders]) -> None:
        with ui.row().classes("w-full items-center gap-3"):
            ui.label(name).classes("text-lg font-bold")
            self._state = ui.label().classes("evq-state")
            ui.space()
            self.orders = orders(Snack())
        self._facts = ui.label().classes("evq-dim")

    def say(self, state: str, why: str, facts: Sequence[str]) -> None:
        """Say how it is."""
        words = f"{SYMBOLS.get(state, '·')} {state}  {why}".rstrip()
        self._state.set_text(words)
        self._state.classes(replace=f"evq-state {state}")
        self._facts.set_text("  ·  ".join(facts))
