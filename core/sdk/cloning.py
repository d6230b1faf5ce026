"""A task once more as one of its own: the same code, with changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from .. import parameters
from ..spec import Entry, Spec, check_spec
from .author import host_name, user_name
from .request import Options, default_name, well_formed

if TYPE_CHECKING:
    from .client import Client
    from .enqueueing import Receipt


async def clone(
    client: Client,
    task: str,
    params: Mapping[str, object],
    add: Mapping[str, object],
    *,
    force: bool,
    options: Options,
) -> Receipt:
    """See `Client.clone`."""
    source = await client.get(task)
    spec = changed(
        twin(source.id, source.spec),
        params={name: str(value) for name, value in params.items()},
        add=[f"{name}={value}" for name, value in add.items()],
        force=force,
    )
    return await client.enqueue(check_spec(well_formed(replace(spec, **options))))


def twin(task: str, spec: Spec) -> Spec:
    """The spec of a task that is made from another one.

    An idempotency key is not taken over: it belongs to one task.
    """
    return replace(spec, parent=task, gang=None, key=None, user=user_name(), host=host_name())


def changed(
    spec: Spec,
    *,
    entry: Entry | None = None,
    params: Mapping[str, str],
    add: Sequence[str] = (),
    force: bool = False,
) -> Spec:
    """`spec` with another entry and other parameters; a name that was made from the rest is made
    anew. `add` are `K=V` for parameters that are not there yet. Raises `UsageError`."""
    was_made = spec.name == default_name(spec.entry, spec.params)
    spec = replace(spec, entry=entry or spec.entry)
    spec = parameters.override(spec, params, force=force)
    for word in add:
        spec = parameters.add(spec, word)
    return replace(spec, name=default_name(spec.entry, spec.params)) if was_made else spec
