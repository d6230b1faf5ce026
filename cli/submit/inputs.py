"""Artifacts that a task is given: `--input` as it is typed, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...core.artifacts import Input, read_input
from ..selectors import resolve

if TYPE_CHECKING:
    from ...core.sdk.client import Client


async def resolve_inputs(client: Client, words: Sequence[str]) -> tuple[Input, ...]:
    """The artifacts that were typed. Raises `NotFound` or `UsageError`."""
    return tuple(
        [
            Input(await resolve(client, selector), name, path)
            for selector, name, path in map(read_input, words)
        ]
    )


def inputs_text(inputs: Sequence[Input]) -> str:
    """`model.pt of k3f9…, data of 9xq2… at in/data`, for one line."""
    return ", ".join(
        f"{one.name} of {one.task}" + (f" at {one.path}" if one.path else "") for one in inputs
    )
