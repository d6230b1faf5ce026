"""What services decide, as events: sweeps, pipelines, schedules and the like.

A service keeps nothing of its own: its state is the fold of its journal, so that one that is killed
at any moment goes on wherever it is started. It writes down what it is going to do, and does it
then under a name that follows from the journal alone; to do so twice does no harm.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from .errors import Conflict

F = TypeVar("F")


class Decided(
    msgspec.Struct, frozen=True, tag_field="kind", tag="decided", omit_defaults=True, kw_only=True
):
    """A service, or a person who has a say in it, decided something.

    `service` is its kind (`sweep`), `name` its own; `words` say it to people, `fact` to the service
    itself, which alone knows its form. `holder` is the attempt that speaks for the service, as in
    `holder_of`; it is empty if a person does. Without a fact a new holder takes over.
    """

    service: str
    name: str
    words: str
    fact: dict[str, Any] = {}
    holder: str = ""


class Noted(msgspec.Struct, Generic[F], frozen=True):
    """A fact in a journal: its sequence in the log, when (microseconds since 1970, by its writer's
    clock) and by whom it was written."""

    seq: int
    at: int
    by: str
    words: str
    fact: F
    holder: str = ""


def holder_of(task: str, attempt: int) -> str:
    """The name of an attempt that speaks for a service."""
    return f"{task}.{attempt}"


def read_fact(decided: Decided, facts: Any) -> Any:
    """The fact of a decision, as one of the service's own `facts`, a union of tagged Structs.

    Raises `Conflict` if a newer evq wrote it.
    """
    try:
        return msgspec.convert(decided.fact, facts)
    except msgspec.ValidationError as error:
        raise Conflict(
            f"the {decided.service} {decided.name} holds a decision that cannot be read",
            why=f"{decided.words}: {error}; a newer evq wrote it, or it is damaged",
            fix="upgrade evq on this machine",
        ) from error
