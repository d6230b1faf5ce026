"""What a sweep is to try: its space, its objectives, its limits; and how TOML says so."""

from __future__ import annotations

from math import isfinite, prod
from typing import Any, Literal

import msgspec

from ...core import units
from ...core.errors import UsageError
from ...core.ids import check_name
from ...core.sdk.reading import parse_toml

Value = bool | int | float | str
"""What a parameter of a trial can be."""

Sampler = Literal["tpe", "random", "grid", "cma-es"]
Failed = Literal["count", "ignore"]

MOST_TRIALS = 100_000
MOST_IGNORED = 20
"""So many failed trials end a sweep that does not count them, if it says no other number."""


class Written(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What an author wrote: a field of another name is a mistake."""


class Choice(Written, frozen=True, tag_field="kind", tag="choice"):
    """One out of several values. `when` are the choices of other parameters that it needs."""

    choices: tuple[Value, ...]
    when: dict[str, Value] = {}


class Integer(Written, frozen=True, tag_field="kind", tag="int"):
    """A whole number from `low` to `high`, both included."""

    low: int
    high: int
    step: int = 1
    log: bool = False
    when: dict[str, Value] = {}


class Real(Written, frozen=True, tag_field="kind", tag="float"):
    """A number from `low` to `high`; with `step` only `low`, `low + step` and so on."""

    low: float
    high: float
    step: float | None = None
    log: bool = False
    when: dict[str, Value] = {}


Dimension = Choice | Integer | Real


class Objective(Written, frozen=True):
    """A metric of the trial's task, and what is wanted of it.

    `value` says which of its points counts when the trial has ended: the last, or the extreme.
    """

    metric: str
    goal: Literal["minimize", "maximize"] = "minimize"
    value: Literal["last", "min", "max"] = "last"


class Median(Written, frozen=True, rename="kebab", tag_field="kind", tag="median"):
    """A trial is hopeless if its best point so far is worse than the median of the others there.

    Nothing is judged before `startup` trials are complete, nor before step `warmup`; then every
    `interval` steps.
    """

    startup: int = 5
    warmup: int = 0
    interval: int = 1


class Asha(Written, frozen=True, tag_field="kind", tag="asha"):
    """Of the trials that come to step `least`, `least * factor` and so on, only one in `factor`
    goes on: successive halving, without waiting for the others."""

    least: int = 1
    factor: int = 4


class Hyperband(Written, frozen=True, tag_field="kind", tag="hyperband"):
    """Successive halving in several brackets, of which some are kinder to slow starters. `most` is
    the last step of a trial."""

    most: int
    least: int = 1
    factor: int = 3


Prune = Median | Asha | Hyperband


class Definition(Written, frozen=True, kw_only=True, rename="kebab"):
    """A sweep as its author wrote it.

    `run` is what would stand behind `evq run`, or `clone` a task whose code and command are taken.
    `timeout` is in seconds and ends the proposing, not the trials that run; `retries` is how often
    a failed trial runs again; `failed` says whether one that failed for good counts as one of
    `trials`; `failures` is how many of those end the sweep. `keep` are the best trials whose files
    are worth keeping. With `reproducible` a trial is chosen and judged only by those that ended at
    least `concurrency` numbers before it, so that timing has no say.
    """

    space: dict[str, Dimension]
    objective: tuple[Objective, ...]
    run: str = ""
    clone: str = ""
    sampler: Sampler = "tpe"
    seed: int = 0
    trials: int | None = None
    concurrency: int = 4
    timeout: float | None = None
    prune: Prune | None = None
    retries: int = 0
    failed: Failed = "count"
    failures: int | None = None
    keep: int | None = None
    reproducible: bool = False


def read_definition(text: str, where: str = "the sweep") -> tuple[str, Definition]:
    """The sweep in a TOML file, and the name it gives itself. Raises `UsageError`."""
    table = parse_toml(text, where)
    name = table.pop("name", "")
    if not isinstance(name, str):
        raise UsageError(f"the name in {where} is no text", fix='name = "lr-search"')
    return name, make_definition(table, where)


def make_definition(table: dict[str, Any], where: str = "the sweep") -> Definition:
    """The definition in a table as TOML has it. Raises `UsageError`."""
    table = dict(table)
    if isinstance(table.get("objective"), dict):
        table["objective"] = [table["objective"]]
    if isinstance(table.get("timeout"), str):
        table["timeout"] = units.seconds(table["timeout"])
    if isinstance(space := table.get("space"), dict):
        table["space"] = {name: _with_kind(name, one) for name, one in space.items()}
    if isinstance(table.get("prune"), str):
        table["prune"] = {"kind": table["prune"]}
    try:
        definition = msgspec.convert(table, Definition)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"{where} cannot be read", why=str(error), fix="docs/sweeps.md has every field"
        ) from None
    return check_definition(definition)


def _with_kind(name: str, dimension: Any) -> Any:
    """A dimension with its kind, which follows from what is given."""
    if isinstance(dimension, list):
        return {"kind": "choice", "choices": dimension}
    if not isinstance(dimension, dict) or "kind" in dimension:
        return dimension
    if "choices" in dimension:
        return {"kind": "choice"} | dimension
    numbers = [dimension.get(key) for key in ("low", "high", "step")]
    real = any(isinstance(number, float) for number in numbers)
    return {"kind": "float" if real else "int"} | dimension


def check_definition(definition: Definition) -> Definition:
    """Return the definition if a sweep can follow it. Raises `UsageError`."""
    if not definition.space:
        raise UsageError("a sweep needs a space", fix="[space.lr]\nlow = 1e-5\nhigh = 1e-1")
    if not definition.objective:
        raise UsageError("a sweep needs an objective", fix='[objective]\nmetric = "loss"')
    for name, dimension in definition.space.items():
        _check_dimension(name, dimension)
        _check_condition(definition.space, name, dimension.when)
    if definition.sampler == "grid":
        for name, dimension in definition.space.items():
            _check_countable(name, dimension)
        if prod(map(_count, definition.space.values())) > MOST_TRIALS:
            raise UsageError(
                f"the grid has more than {MOST_TRIALS} points",
                why="it is the product of all parameters' values",
                fix='fewer values, or sampler = "tpe"',
            )
    _check_limits(definition)
    _check_prune(definition)
    _check_sampler(definition)
    return definition


def check_sweep_name(name: str) -> str:
    """Return `name` if a sweep can have it. Raises `UsageError`."""
    if not name:
        raise UsageError("the sweep has no name", fix="evq sweep run FILE --name lr-search")
    return check_name(name, "sweep")


def _check_dimension(name: str, dimension: Dimension) -> None:
    match dimension:
        case Choice(choices):
            if not choices:
                raise UsageError(f"{name} has no choices", fix=f'[space.{name}]\nchoices = ["a"]')
            if len(set(map(repr, choices))) < len(choices):
                raise UsageError(f"{name} has one choice twice", fix="leave one of them out")
        case Integer(low, high, step, log) | Real(low, high, step, log):
            if not (isfinite(low) and isfinite(high)) or low > high:
                raise UsageError(
                    f"{name} has no values from {low} to {high}", fix="low must not be above high"
                )
            if log and low <= 0:
                raise UsageError(
                    f"{name} cannot be logarithmic from {low}",
                    why="a logarithm needs numbers above 0",
                    fix=f"[space.{name}]\nlow = 1e-6",
                )
            if step is not None and (step <= 0 or (log and step != 1)):
                raise UsageError(
                    f"{name} cannot go in steps of {step}",
                    why="a step is above 0, and a logarithmic range has none",
                    fix=f"leave out step or log in [space.{name}]",
                )


def _check_condition(space: dict[str, Dimension], name: str, when: dict[str, Value]) -> None:
    before = list(space)[: list(space).index(name)]
    for other, value in when.items():
        if other not in before:
            raise UsageError(
                f"{name} depends on {other}, which is not before it",
                why="a parameter's condition names parameters that stand above it",
                fix=f"put [space.{other}] above [space.{name}]",
            )
        known = space[other]
        if not isinstance(known, Choice) or value not in known.choices:
            raise UsageError(
                f"{name} depends on {other} = {value!r}, which it never is",
                why=f"a condition names one of the choices of {other}",
                fix=f"[space.{name}]\nwhen = {{ {other} = … }}",
            )


def _check_countable(name: str, dimension: Dimension) -> None:
    if isinstance(dimension, Real) and dimension.step is None:
        raise UsageError(
            f"a grid cannot hold every value of {name}",
            why="it is a number without steps",
            fix=f"[space.{name}]\nchoices = [0.001, 0.01, 0.1]     or step = 0.1",
        )
    if not isinstance(dimension, Choice) and dimension.log:
        raise UsageError(
            f"a grid knows no logarithmic range for {name}",
            fix=f"[space.{name}]\nchoices = [0.001, 0.01, 0.1]",
        )


def _count(dimension: Dimension) -> int:
    """How many values a parameter that can be counted has."""
    match dimension:
        case Choice(choices):
            return len(choices)
        case Integer(low, high, step) | Real(low, high, step):
            return int((high - low) / (step or 1)) + 1


def _check_limits(definition: Definition) -> None:
    trials, timeout = definition.trials, definition.timeout
    if trials is None and timeout is None and definition.sampler != "grid":
        raise UsageError(
            "the sweep would never end", why="it has neither trials nor timeout", fix="trials = 50"
        )
    for name, number, most in (
        ("trials", trials, MOST_TRIALS),
        ("concurrency", definition.concurrency, 1000),
        ("failures", definition.failures, MOST_TRIALS),
        ("keep", definition.keep, MOST_TRIALS),
    ):
        if number is not None and not 1 <= number <= most:
            raise UsageError(f"{name} is 1 to {most}, not {number}", fix=f"{name} = 4")
    if timeout is not None and not timeout > 0:
        raise UsageError("timeout must be longer than nothing", fix='timeout = "2h"')
    if definition.retries < 0:
        raise UsageError("retries cannot be negative", fix="retries = 0")


def _check_prune(definition: Definition) -> None:
    prune = definition.prune
    if prune is None:
        return
    if len(definition.objective) > 1:
        raise UsageError(
            "a sweep with several objectives cannot prune",
            why="a trial that is worse in one may be better in another",
            fix="leave out [prune], or all objectives but one",
        )
    match prune:
        case Median(startup, warmup, interval):
            wrong = startup < 0 or warmup < 0 or interval < 1
        case Asha(least, factor):
            wrong = least < 1 or factor < 2
        case Hyperband(most, least, factor):
            wrong = least < 1 or factor < 2 or most < least
    if wrong:
        raise UsageError(
            "[prune] holds a number that is too small",
            why="steps are counted from 0, interval and least are at least 1, factor at least 2",
            fix='[prune]\nkind = "median"',
        )


def _check_sampler(definition: Definition) -> None:
    if definition.sampler != "cma-es":
        return
    if len(definition.objective) > 1:
        raise UsageError("cma-es knows one objective only", fix='sampler = "tpe"')
    numbers = [one for one in definition.space.values() if not isinstance(one, Choice)]
    if not numbers:
        raise UsageError("cma-es needs a number in the space", fix='sampler = "tpe"')
