"""Why a task failed, in the words of `evq show`."""

from __future__ import annotations

from nicegui import ui

from .....core.state import Ended, Task
from .....core.words.phrases import end_text
from .....core.words.remedy import MEANINGS, failed, remedies
from .command import command_line


def show(task: Task, last_lines: list[str]) -> None:
    """Its cause and evidence, the last lines, what to try; nothing unless it failed."""
    state = task.state
    if not isinstance(state, Ended) or not failed(task):
        return
    with ui.card().classes("w-full gap-1 p-3 border-l-4 border-red-500 evq-failure"):
        how = end_text(state.exit_code, None)
        meaning = MEANINGS[state.cause] if state.cause else "it ended without success"
        ui.label(f"Why it failed: {meaning}{f': {how}' if how else ''}").classes("font-bold")
        for line in state.evidence.splitlines():
            if line not in last_lines:
                ui.label(line).classes("text-sm break-all")
        if last_lines:
            ui.label("\n".join(last_lines)).classes(
                "w-full font-mono text-xs whitespace-pre-wrap break-all p-2 rounded"
            ).style("background: rgb(128 128 128 / .12)")
        for command, meaning in remedies(task):
            command_line(command, meaning)
