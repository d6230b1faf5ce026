"""A session's task: what it is asked to be, and how its kind and port are read again."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec.structs import replace

from ...errors import NotFound, UsageError
from ...spec import Module, Spec
from ...state import Task
from ...tunnels.hello import FREE

MODULE = "evq_session"
TAG = "session"

KINDS = ("jupyter", "terminal")
Kind = Literal["jupyter", "terminal"]

JUPYTER = ("jupyterlab>=4.4,<5", "ipykernel>=6.29,<8")

IDLE_SECONDS = 1800.0


class Session(msgspec.Struct, frozen=True):
    """What a session's task serves, and at which of its declared ports; `idle` is in seconds, 0 is
    never."""

    kind: Kind
    port: int
    idle: float


def session_spec(spec: Spec, kind: Kind, idle: float) -> Spec:
    """`spec` as a session: its entry is what serves. Raises `UsageError`.

    One that was lost with its worker does not run again: what was in its memory is gone.
    """
    if spec.manager == "agent" or (kind == "jupyter" and spec.manager == "none"):
        raise UsageError(
            f"a session cannot run with --env {spec.manager}",
            why="it needs a Python of its own task",
            fix="leave --env out",
        )
    if spec.nodes > 1:
        raise UsageError("a session runs on one machine", fix="leave --nodes out")
    others = tuple(port for port in spec.ports if port != FREE)
    return replace(
        spec,
        entry=Module(MODULE, (kind, str(FREE), f"{idle:g}")),
        ports=(FREE, *others),
        tools=JUPYTER if kind == "jupyter" else (),
        tags=(*spec.tags, TAG),
        losses=0,
    )


def session_of(task: Task) -> Session:
    """What a session's task serves. Raises `NotFound` for any other task."""
    match task.spec.entry:
        case Module(name=name, args=("jupyter" | "terminal" as kind, port, idle)) if name == MODULE:
            return Session(kind, int(port), float(idle))
        case _:
            raise NotFound(
                f"task {task.id} is no session",
                why="its command is another one",
                fix="evq session ls",
            )
