"""Commands to be copied."""

from __future__ import annotations

from nicegui import ui

from .....core.state import Task
from .....core.words.sentence import next_verbs


def command_line(command: str, meaning: str = "") -> None:
    """A command with a button that copies it, and what it is for."""
    with ui.row().classes("w-full items-center gap-2"):
        ui.button(icon="content_copy", on_click=lambda: ui.clipboard.write(command)).props(
            "flat dense round size=xs"
        ).tooltip("copy")
        ui.label(command).classes("font-mono text-xs break-all")
        if meaning:
            ui.label(meaning).classes("text-xs opacity-70")


def show(task: Task) -> None:
    """Commands that run it again, or show it in a terminal."""
    again = (
        (f"evq repro {task.id}", "run it on this machine, from its snapshot"),
        (f"evq clone {task.id} --set NAME=VALUE", "enqueue it once more, with another parameter"),
        (f"evq show {task.id}", "this page in a terminal"),
    )
    with ui.column().classes("w-full gap-1 evq-commands"):
        for command, meaning in again:
            command_line(command, meaning)
        for command in next_verbs(task):
            command_line(command)
