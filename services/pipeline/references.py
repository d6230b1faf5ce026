"""References in what a step is given, such as `${steps.train.outputs.loss}`.

    ${params.NAME}               a parameter of the pipeline
    ${item}, ${index}            of a step with `each`: its item, and the item's place from 0
    ${steps.STEP.outputs.NAME}   what the step gave out by `evq.output(NAME=…)`
    ${steps.STEP.metrics.NAME}   the last value of a metric
    ${steps.STEP.artifacts.NAME} an artifact, as `TASK:NAME`
    ${steps.STEP.task}           the step's task
    ${run.name}, ${run.pipeline} this run

Each but the last three may go on into the value: `${item.lr}`, `${params.sizes.0}`. A text that is
one reference has its value, of any type; else the value stands in the text. `$${` is a plain `${`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from ...core.errors import UsageError

Source = Literal["params", "item", "index", "steps", "run"]
GIVEN = ("outputs", "metrics", "artifacts", "task")

_REFERENCE = re.compile(r"\$(\$?)\{([^{}]*)\}")


class Reference(msgspec.Struct, frozen=True):
    """A reference: where it looks, and the names on the way."""

    source: Source
    path: tuple[str, ...]

    @property
    def step(self) -> str | None:
        """The step whose result it takes, if any."""
        return self.path[0] if self.source == "steps" else None

    @property
    def text(self) -> str:
        """As it is written."""
        return "${" + ".".join((self.source, *self.path)) + "}"


def parse(inside: str) -> Reference:
    """The reference between the braces. Raises `UsageError`."""
    source, *path = inside.strip().split(".")
    match source, path:
        case ("item", _) | ("index", []) | ("params", [_, *_]) | ("steps", [_]):
            pass
        case ("run", ["name" | "pipeline"]) | ("steps", [_, "task"]):
            pass
        case "steps", [_, "outputs", _, *_]:
            pass
        case "steps", [_, "metrics" | "artifacts", _, *_]:
            # Names of metrics and artifacts may hold dots.
            path = [*path[:2], ".".join(path[2:])]
        case _:
            raise UsageError(
                f"${{{inside}}} refers to nothing",
                why="a reference is params.NAME, item, index, steps.STEP.outputs.NAME, "
                "steps.STEP.metrics.NAME, steps.STEP.artifacts.NAME, steps.STEP.task, run.name "
                "or run.pipeline",
                fix="write a ${ that is meant for others as $${",
            )
    return Reference(source, tuple(path))  # type: ignore[arg-type]  # the match leaves only these


def references(value: Any) -> Iterator[Reference]:
    """All references anywhere in a value. Raises `UsageError` for one that is none."""
    if isinstance(value, str):
        for dollar, inside in _REFERENCE.findall(value):
            if not dollar:
                yield parse(inside)
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from references(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from references(one)


def resolve(value: Any, look: Callable[[Reference], Any]) -> Any:
    """The value with what `look` gives in the place of each reference."""
    if isinstance(value, str):
        return _resolve_text(value, look)
    if isinstance(value, Mapping):
        return {key: resolve(one, look) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [resolve(one, look) for one in value]
    return value


def _resolve_text(text: str, look: Callable[[Reference], Any]) -> Any:
    whole = _REFERENCE.fullmatch(text)
    if whole and not whole[1]:
        return look(parse(whole[2]))

    def put(found: re.Match[str]) -> str:
        return f"${{{found[2]}}}" if found[1] else as_text(look(parse(found[2])))

    return _REFERENCE.sub(put, text)


def as_text(value: Any) -> str:
    """A value as it stands in a text or on a command line: words as they are, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def within(value: Any, path: tuple[str, ...], name: str) -> Any:
    """The part of `value`, which is called `name`, that `path` leads to. Raises `UsageError`."""
    for n, key in enumerate(path):
        if isinstance(value, Mapping) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            before = ".".join((name, *path[:n]))
            raise UsageError(
                f"{before} has no {key}",
                why=f"it is {_shown(value)}",
                fix=f"look at what the step gave: {before}",
            )
    return value


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "made of " + (", ".join(map(str, value)) or "nothing")
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return as_text(value)[:80]
