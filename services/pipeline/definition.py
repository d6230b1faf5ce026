"""What a pipeline is: steps, what they run, and what they take from each other."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Literal

import msgspec

from ...core.errors import UsageError
from ...core.ids import check_name
from ...core.sdk.reading import parse_toml
from ...core.spec import DEFAULT_PRIORITY, Manager

OnFailure = Literal["abort", "skip", "continue"]
"""What a step's failure means: the whole run is aborted; what comes after the step is skipped and
the rest goes on; all goes on as if the step had given nothing."""

LONGEST_NAME = 40
MOST_STEPS = 200


class Step(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """One step: exactly one of `script`, `module`, `command`, `function` says what it runs.

    `function` is `FILE:NAME`, called with `arguments`. `each` is a list, or a reference to one: the
    step runs once for each item. `inputs` are artifacts that it finds in its folder, as `TASK:NAME`
    or `TASK:NAME:PATH`, by reference as a rule. `after` are steps that it waits for without taking
    anything of them. `setup` is the text of a shell script. The rest is as in `evq enqueue`;
    `cache` null is as the pipeline says.
    """

    script: str | None = None
    module: str | None = None
    command: tuple[str, ...] = ()
    function: str | None = None
    args: tuple[str | int | float | bool, ...] = ()
    arguments: dict[str, Any] = {}
    set: dict[str, Any] = {}
    inputs: tuple[str, ...] = ()
    each: Any = None
    after: tuple[str, ...] = ()
    on_failure: OnFailure | None = None
    cache: bool | None = None
    repo: str | None = None
    branch: str | None = None
    commit: str | None = None
    queue: str | None = None
    priority: int = DEFAULT_PRIORITY
    tags: tuple[str, ...] = ()
    env: Manager | None = None
    requirements: tuple[str, ...] = ()
    python: str | None = None
    image: str | None = None
    docker_args: tuple[str, ...] = ()
    setup: str | None = None
    apt: tuple[str, ...] = ()
    variables: dict[str, Any] = {}
    secrets: tuple[str, ...] = ()
    retries: int = 0
    timeout: str | float | None = None
    grace: str | float | None = None
    memory: str | int | None = None
    cpus: float | None = None
    gpus: int = 0
    gpu_memory: str | int | None = None
    needs: dict[str, str] = {}


class Definition(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A pipeline: its steps by name, and its parameters with their values.

    `on_failure` and `cache` hold for steps that say nothing of their own.
    """

    name: str
    steps: dict[str, Step]
    params: dict[str, Any] = {}
    on_failure: OnFailure = "abort"
    cache: bool = False

    def failure_of(self, step: str) -> OnFailure:
        """What a failure of this step means."""
        return self.steps[step].on_failure or self.on_failure

    def caches(self, step: str) -> bool:
        """Whether an earlier result of this step may be taken again."""
        own = self.steps[step].cache
        return self.cache if own is None else own


def read_toml(text: str, where: str) -> Definition:
    """The pipeline that a TOML file describes. Raises `UsageError`, naming the place."""
    return define(parse_toml(text, where), where)


def define(written: Mapping[str, Any], where: str) -> Definition:
    """The pipeline that was written down in `where`. Raises `UsageError`, naming the place."""
    defaults = written.get("defaults", {})
    steps = written.get("steps", {})
    if not isinstance(defaults, Mapping) or not isinstance(steps, Mapping):
        raise _unfit(where, "defaults and steps are tables", "[steps.train]")
    _check_fields(where, "", written, {*Definition.__struct_fields__, "defaults"})
    for name, step in {"": defaults, **steps}.items():
        if not isinstance(step, Mapping):
            raise _unfit(where, f"step {name} is no table", f"[steps.{name}]")
        place = f"steps.{name}" if name else "defaults"
        _check_fields(where, place, step, set(Step.__struct_fields__))
    whole = {key: value for key, value in written.items() if key != "defaults"}
    whole["steps"] = {name: {**defaults, **step} for name, step in steps.items()}
    try:
        # Lax for `args = [1, 2]` and the like; TOML's own types are what the user wrote.
        found = msgspec.convert(whole, Definition)
    except msgspec.ValidationError as error:
        raise _unfit(where, _in_words(str(error)), "evq pipeline run --help") from error
    return check(found, where)


def check(found: Definition, where: str) -> Definition:
    """The pipeline, if its names and what its steps run are in order. Raises `UsageError`."""
    for name, what in ((found.name, "pipeline"), *((name, "step") for name in found.steps)):
        check_name(name, what)
        if len(name) > LONGEST_NAME:
            raise _unfit(where, f"{name} is longer than {LONGEST_NAME} characters", "rename it")
    if not 1 <= len(found.steps) <= MOST_STEPS:
        raise _unfit(where, f"it has {len(found.steps)} steps", f"1 to {MOST_STEPS} [steps.NAME]")
    for name, step in found.steps.items():
        runs = [kind for kind in ("script", "module", "command", "function") if getattr(step, kind)]
        if len(runs) != 1:
            raise _unfit(
                where,
                f"step {name} runs {' and '.join(runs) or 'nothing'}",
                f'[steps.{name}]\nscript = "{name}.py"   (or module, command, function)',
            )
        if step.arguments and not step.function:
            raise _unfit(where, f"step {name} has arguments, but no function", "args = […]")
    return found


def with_params(found: Definition, given: Mapping[str, Any]) -> Definition:
    """The pipeline with other values for some of its parameters. Raises `UsageError`."""
    for name in given:
        if name not in found.params:
            near = get_close_matches(name, found.params, n=1)
            raise UsageError(
                f"pipeline {found.name} has no parameter {name}"
                + (f"; did you mean {near[0]}?" if near else ""),
                why=f"it has {', '.join(found.params) or 'none'}",
                fix=f"--set {near[0]}=…" if near else f"[params]\n{name} = …",
            )
    return msgspec.structs.replace(found, params={**found.params, **given})


def _check_fields(where: str, place: str, table: Mapping[str, Any], known: set[str]) -> None:
    for name in table:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise UsageError(
                f"{where}: {f'{place}.' if place else ''}{name} means nothing"
                + (f"; did you mean {near[0]}?" if near else ""),
                why=f"known are {', '.join(sorted(known))}",
                fix=f"edit {where}",
            )


def _in_words(message: str) -> str:
    """The library's complaint, with the place as people write it."""
    what, _, place = message.partition(" - at ")
    return f"{place.strip('`').removeprefix('$.') or 'it'}: {what[:1].lower()}{what[1:]}"


def _unfit(where: str, why: str, fix: str) -> UsageError:
    return UsageError(f"{where} is no pipeline", why=why, fix=fix)
