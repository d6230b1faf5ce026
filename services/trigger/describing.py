"""What a match says to people: what happened, to whom, why, and the last lines it wrote."""

from __future__ import annotations

from collections import deque

from ...core.events import Envelope, Log
from ...core.sdk.client import Client
from ...core.sdk.following import telemetry_of
from ...core.spec import Spec
from ...core.state import Ended, Task
from ...core.wire import decode_telemetry
from ...core.words.narrate import narrate

LINES = 8
LATELY = 2000
"""Records of all tasks together before a task's last one in which its last lines are looked for."""


def words_of(subject: str, envelope: Envelope, spec: Spec | None) -> str:
    """What happened in one line: `task k3f9… (train.py): failed, exit code 1`."""
    name = f" ({spec.name})" if spec and spec.name else ""
    return f"{subject}{name}: {narrate(envelope)}"


async def last_words(client: Client, task: Task) -> tuple[str, ...]:
    """Why a task ended, and the last lines of its last attempt; nothing of one that goes on."""
    if not isinstance(task.state, Ended) or not task.attempts:
        return ()
    newest = await client.bus.telemetry.last(telemetry_of(task))
    if newest is None:
        return ()
    claim = task.attempts[-1].claim
    last = deque[str](maxlen=LINES)
    after = max(0, newest.seq - LATELY)
    for stored in await client.bus.telemetry.history(telemetry_of(task), after):
        record = decode_telemetry(stored.data)
        if isinstance(record, Log) and record.claim == claim:
            last.extend(record.text)
    return tuple(last)
