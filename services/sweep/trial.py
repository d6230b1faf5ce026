"""The task of a trial: the sweep's base, with the trial's parameters put in."""

from __future__ import annotations

from msgspec.structs import replace

from ...core.errors import UsageError
from ...core.sdk.request import with_parameters
from ...core.spec import Spec, check_spec
from .decide import params_text, value_text
from .definition import Choice, Definition, Dimension, Value
from .state import SweepState, Trial, key_of

NAME_LENGTH = 60


def spec_of(sweep: SweepState, trial: Trial, parent: str | None) -> Spec:
    """What is enqueued for a trial; the same for whoever goes on with the sweep."""
    assert sweep.base is not None
    name = f"{sweep.name} {trial.number}: {params_text(trial.params)}"
    return replace(
        with_params(sweep.base, trial.params),
        name=name if len(name) <= NAME_LENGTH else name[: NAME_LENGTH - 1] + "…",
        tags=(*sweep.base.tags, tag_of(sweep.name)),
        retries=max(sweep.base.retries, sweep.plan.retries),
        key=key_of(sweep.name, trial.number),
        parent=parent,
    )


def tag_of(sweep: str) -> str:
    """The tag of a sweep's trials."""
    return f"sweep:{sweep}"


def with_params(spec: Spec, params: dict[str, Value]) -> Spec:
    """The spec with these parameters, each where `--set` would put it. Raises `UsageError`."""
    return with_parameters(spec, {name: value_text(value) for name, value in params.items()})


def check_base(base: Spec, definition: Definition) -> Spec:
    """Return the task that trials are made from if every parameter can be put into it. Raises
    `UsageError`."""
    if base.nodes > 1 or base.after or base.key:
        raise UsageError(
            "a sweep cannot be made of this task",
            why="trials run on one machine, await nothing, and have keys of their own",
            fix="leave out --nodes, --after and --key",
        )
    for name, dimension in definition.space.items():
        for value in _samples(dimension):
            with_params(base, {name: value})
    return check_spec(base)


def _samples(dimension: Dimension) -> tuple[Value, ...]:
    return dimension.choices if isinstance(dimension, Choice) else (dimension.low, dimension.high)
