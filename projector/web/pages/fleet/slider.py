"""Back in time: a slider as long as the curves, and the words that what is shown is past."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from nicegui import ui
from nicegui.events import GenericEventArguments

from .....core.sdk.author import now

STEPS = 720
"""Moments that a slider can stand at, over its whole range."""


class TimeSlider:
    """Chooses a moment within the last `hours`; `go` is called with it, in microseconds since
    1970, or with None for now."""

    def __init__(
        self, hours: int, at: int | None, go: Callable[[int | None], Awaitable[None]]
    ) -> None:
        self._hours = hours
        self._go = go
        with ui.row().classes("w-full items-center gap-3 no-wrap evq-time"):
            ui.icon("history").tooltip("look back: drag, or use the arrow keys")
            self._slider = ui.slider(min=-STEPS, max=0, step=1, value=0)
            self._slider.props("dense aria-label='look back in time'").classes("grow")
            self._slider.on("change", self._chosen)
            self._label = ui.label().classes("text-xs whitespace-nowrap tabular-nums evq-moment")
            self._now = ui.button("now", on_click=self._back).props("flat dense size=sm")
        self._then = ui.label().classes("evq-past")
        self.say(at)

    def say(self, at: int | None) -> None:
        """Stand at this moment."""
        self._slider.set_value(0 if at is None else self._step(at))
        self._label.set_text("now" if at is None else clock(at))
        for part in (self._now, self._then):
            part.set_visibility(at is not None)
        if at is not None:
            self._then.set_text(f"as it was on {clock(at)}; nothing can be changed there")

    def stretch(self, hours: int, at: int | None) -> None:
        """Be so long from now on."""
        self._hours = hours
        self.say(at)

    async def _chosen(self, event: GenericEventArguments) -> None:
        step = int(event.args)
        at = None if step >= 0 else now() + round(step * self._pixel)
        self.say(at)
        await self._go(at)

    async def _back(self) -> None:
        self.say(None)
        await self._go(None)

    def _step(self, at: int) -> int:
        return max(-STEPS, min(-1, round((at - now()) / self._pixel)))

    @property
    def _pixel(self) -> float:
        return self._hours * 3600e6 / STEPS


def clock(at: int) -> str:
    """A moment as people read it, by this machine's clock."""
    return datetime.fromtimestamp(at / 1e6).astimezone().strftime("%a %d %b %H:%M:%S %Z")
