"""Why a task failed, its last lines, and what one may do about it, for a terminal."""

from __future__ import annotations

from ...core.state import Ended, Task
from ...core.words.remedy import MEANINGS, remedies
from ...core.words.remedy import failed as failed
from .. import output
from .render import end_text

LAST_LINES = 8


def explanation(task: Task, lines: list[str]) -> list[str]:
    """The failure for people: its cause and evidence, the last lines, what to try."""
    state = task.state
    if not isinstance(state, Ended) or not failed(task):
        return []
    told = [output.bold("why it failed")]
    if state.cause:
        how = end_text(state.exit_code, None)
        told.append(f"  {MEANINGS[state.cause]}{f': {how}' if how else ''}")
    told += [f"  {line}" for line in state.evidence.splitlines() if line not in lines]
    if lines:
        told += [f"  {output.dim('last lines')}", *(f"    {line}" for line in lines)]
    commands = remedies(task)
    space = max(len(command) for command, _ in commands)
    told.append(f"  {output.dim('try')}")
    told += [f"    {command.ljust(space)}  {output.dim(text)}" for command, text in commands]
    return told
