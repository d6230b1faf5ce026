"""How fresh a page is, in its header: nothing is old without saying so."""

from __future__ import annotations

from nicegui import ui

from ...core.sdk.live import LiveFleet

SECONDS = 1.0


def show_freshness(fleet: LiveFleet) -> None:
    """A word in the header that follows the fleet's connection and the projector."""
    with ui.row().classes("items-center gap-1 no-wrap").props("role=status"):
        dot = ui.icon("circle", size="12px")
        label = ui.label().classes("text-white text-sm evq-freshness")

    def tell() -> None:
        text, colour = freshness(fleet.connected, fleet.seq, fleet.projected)
        label.text = text
        dot.props(f"color={colour}")

    tell()
    # This looks at what the process knows; a browser hears of it when it has changed.
    ui.timer(SECONDS, tell)


def freshness(connected: bool, seq: int, projected: int | None) -> tuple[str, str]:
    """The words, and the colour of the dot beside them.

    `seq` is the last event that is known, `projected` the last one in the database, null while no
    projector answers.
    """
    if not connected:
        return "the server is away: all is as it was", "red-5"
    if projected is None:
        return "no projector answers: lists are live, history waits", "amber-5"
    late = max(0, seq - projected)
    return (
        (f"live · history {late:,} events behind", "amber-5") if late > 100 else ("live", "green-4")
    )
