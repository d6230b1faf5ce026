"""What is decided about a run of a pipeline, as a closed union of facts.

A part is a step, or one item's part of a step with `each`: `prepare`, `train[2]`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from ...core.spec import Code
from .definition import Definition

End = Literal["completed", "failed", "timed_out", "aborted", "skipped"]
"""How a part ended; a run ends as `completed`, `failed` or `aborted`."""


class Created(msgspec.Struct, frozen=True, tag_field="kind", tag="created", omit_defaults=True):
    """Somebody wants the pipeline to run, with this code. `tree` is the code's content, for the
    cache; with `fresh` nothing is taken from there. `edges` say what each step waits for, for those
    who only draw it.
    """

    definition: Definition
    code: Code | None = None
    tree: str = ""
    fresh: bool = False
    user: str = ""
    host: str = ""
    project: str = ""
    queue: str = "default"
    edges: dict[str, tuple[str, ...]] = {}


class Plan(msgspec.Struct, frozen=True, array_like=True):
    """A part that is to run as the task `task`. `digest` is what its result will be known by;
    empty if that may not be taken again."""

    part: str
    task: str
    digest: str = ""


class Planned(msgspec.Struct, frozen=True, tag_field="kind", tag="planned"):
    """These parts are to run now. The tasks are enqueued after this is written."""

    plans: tuple[Plan, ...]


class Result(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How a part ended, and what it gave. `task` is empty if none ran; `reused` says that the
    task is one of another run, `artifacts` are the names of what it saved. `evidence` is why it did
    not complete."""

    part: str
    outcome: End
    task: str = ""
    outputs: dict[str, Any] = {}
    metrics: dict[str, float | str] = {}
    artifacts: tuple[str, ...] = ()
    evidence: str = ""
    reused: bool = False


class Settled(msgspec.Struct, frozen=True, tag_field="kind", tag="settled"):
    """These parts have ended, for this run."""

    results: tuple[Result, ...]


class StopWished(msgspec.Struct, frozen=True, tag_field="kind", tag="stop_wished"):
    """Somebody wants the run to end."""

    reason: str


class Resumed(msgspec.Struct, frozen=True, tag_field="kind", tag="resumed", omit_defaults=True):
    """Somebody wants these parts to run again, or for the first time, after the run had ended;
    with other code if there is any."""

    parts: tuple[str, ...]
    code: Code | None = None
    tree: str = ""
    fresh: bool = False


class RunEnded(msgspec.Struct, frozen=True, tag_field="kind", tag="ended", omit_defaults=True):
    """Nothing of the run is left to be done."""

    outcome: Literal["completed", "failed", "aborted"]
    evidence: str = ""


Fact = Created | Planned | Settled | StopWished | Resumed | RunEnded


class Kept(msgspec.Struct, frozen=True, tag_field="kind", tag="kept", omit_defaults=True):
    """The result of a step that may be taken again: it stands in a journal of its own, under the
    digest of all that it follows from."""

    task: str
    outputs: dict[str, Any] = {}
    metrics: dict[str, float | str] = {}
    artifacts: tuple[str, ...] = ()
    run: str = ""
