"""How the state of a task looks, the same on every page."""

from __future__ import annotations

from nicegui import ui

COLORS = {
    "held": "purple-5",
    "queued": "blue-grey-5",
    "claimed": "light-blue-6",
    "running": "blue-6",
    "completed": "green-6",
    "failed": "red-6",
    "timed_out": "deep-orange-7",
    "aborted": "amber-9",
    "lost": "amber-9",
}
"""Colours of Quasar, readable under white text."""


def state_chip(state: str) -> ui.badge:
    """The state as a small coloured word."""
    return ui.badge(state.replace("_", " "), color=COLORS.get(state, "grey-6")).classes(
        "text-xs px-2 py-1"
    )
