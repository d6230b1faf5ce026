"""A page's way to the past and back."""

from __future__ import annotations

from nicegui import ui

from .....core.errors import EvqError
from .....core.sdk.client import Client
from .choices import Choices
from .past import picture_at
from .picture import Picture
from .slider import TimeSlider


async def travel(
    client: Client,
    chosen: Choices,
    slider: TimeSlider,
    at: int | None,
    queue: str = "",
    count: int = 0,
) -> Picture | None:
    """Choose a moment, in microseconds since 1970, and return how all was then; null for now.

    A moment that nobody can tell of is not chosen: the user is told why, and stays in the present.
    """
    then = None
    try:
        if at is not None:
            then = await picture_at(client, at, queue, count)
    except EvqError as error:
        ui.notify(str(error), type="warning")
        slider.say(None)
        at = None
    chosen.at = at
    chosen.write()
    return then
