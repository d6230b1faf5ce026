"""What MLflow's client sends, as far as evq reads it, and how long its words may be."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from ...reporting.channel import Value, plain
from .refusal import Refusal

LONGEST_NAME = 250
LONGEST_VALUE = 8000
"""Characters, as MLflow's own server has it for tags."""

_Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_NAME)]
_Value = Annotated[str, msgspec.Meta(max_length=LONGEST_VALUE)]
MANY = msgspec.Meta(max_length=2000)
"""Of what one request may hold so many."""


class Pair(msgspec.Struct, frozen=True):
    """A parameter or a tag."""

    key: _Name
    value: _Value = ""


class Metric(msgspec.Struct, frozen=True):
    """A point; `timestamp` is in milliseconds. JSON has no NaN, which is a word then."""

    key: _Name
    value: float | str
    timestamp: _Int64 = 0
    step: _Int64 = 0

    def __post_init__(self) -> None:
        try:
            float(self.value)
        except ValueError:
            raise ValueError(f"metric {self.key!r}: {self.value!r} is no number") from None

    @property
    def plain(self) -> Value:
        """The value as evq writes it."""
        return plain(float(self.value))


class OfRun(msgspec.Struct, kw_only=True):
    """Every request that concerns a run names it, older clients by the second word."""

    run_id: str = ""
    run_uuid: str = ""

    @property
    def run(self) -> str:
        """The run's id."""
        return self.run_id or self.run_uuid


class Batch(OfRun):
    """Points, parameters and tags."""

    metrics: Annotated[list[Metric], MANY] = []
    params: Annotated[list[Pair], MANY] = []
    tags: Annotated[list[Pair], MANY] = []


class RunCreate(msgspec.Struct, kw_only=True):
    """A run that a client wants."""

    run_name: _Value = ""
    user_id: str = ""
    start_time: _Int64 = 0
    tags: Annotated[list[Pair], MANY] = []

    @property
    def name(self) -> str:
        """Its name, which older clients put into a tag."""
        tagged = {pair.key: pair.value for pair in self.tags}
        return (self.run_name or tagged.get("mlflow.runName", ""))[:100]


class RunUpdate(OfRun):
    """What became of a run."""

    status: str = ""
    end_time: _Int64 | None = None
    run_name: _Value = ""


class Search(msgspec.Struct, kw_only=True):
    """A question for runs."""

    filter: str = ""


class Named(msgspec.Struct, kw_only=True):
    """An experiment, by its name."""

    name: str = ""


T = TypeVar("T", bound=msgspec.Struct)


def read(body: bytes, kind: type[T]) -> T:
    """The body as what it should be. Raises `Refusal`."""
    try:
        return msgspec.convert(msgspec.json.decode(body or b"{}"), kind, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(f"evq cannot read this request: {error}") from None
