"""Who uses a GPU outside evq.

A process of evq has its task's id among its variables, and the ledger says whether that task has
the GPU. What another user runs cannot be asked: where the ledger has a claim it is taken for that
claim's, where it has none it is a stranger.
"""

from __future__ import annotations

from collections.abc import Collection

from ...core.units import size_text
from . import owners
from .port import GpuProcess, Reading

TASK = "EVQ_TASK_ID"


def stranger(reading: Reading, tasks: Collection[str], threshold: int) -> str:
    """Who uses the GPU that no attempt of evq is, in words; empty if there is nobody.

    `tasks` have the GPU by the ledger. Processes that together have less than `threshold` bytes
    of its memory, such as a desktop's, do not count.
    """
    found = [one for one in reading.processes if not _is_ours(one, tasks)]
    if not found:
        return ""
    if all(one.memory is not None for one in found):
        used = sum(one.memory or 0 for one in found)
        if used < threshold:
            return ""
    most = max(found, key=lambda one: one.memory or 0)
    others = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return (_words(most) or "somebody") + others


def _is_ours(process: GpuProcess, tasks: Collection[str]) -> bool:
    if process.pid and not owners.lives(process.pid):
        return True  # whoever it was, it has ended since the reading
    task = owners.variable(process.pid, TASK)
    return bool(tasks) if task is None else task in tasks


def _words(process: GpuProcess) -> str:
    memory = "" if process.memory is None else size_text(process.memory)
    parts = [f"pid {process.pid}" if process.pid else "", process.user, process.name, memory]
    return " ".join(filter(None, parts))
