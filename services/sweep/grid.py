"""Every combination of a space whose parameters can be counted, in order."""

from __future__ import annotations

from collections.abc import Iterator

from .definition import Choice, Dimension, Integer, Real, Value


def grid(space: dict[str, Dimension]) -> list[dict[str, Value]]:
    """The combinations, the last parameter changing fastest. A parameter whose condition does not
    hold is left out, so that no combination comes twice."""
    return list(_combinations(list(space.items()), {}))


def is_active(dimension: Dimension, params: dict[str, Value]) -> bool:
    """Whether the parameter's condition holds where these are chosen."""
    return all(params.get(name) == value for name, value in dimension.when.items())


def _combinations(
    rest: list[tuple[str, Dimension]], chosen: dict[str, Value]
) -> Iterator[dict[str, Value]]:
    if not rest:
        yield chosen
        return
    (name, dimension), *others = rest
    if not is_active(dimension, chosen):
        yield from _combinations(others, chosen)
        return
    for value in _values(dimension):
        yield from _combinations(others, chosen | {name: value})


def _values(dimension: Dimension) -> list[Value]:
    match dimension:
        case Choice(choices):
            return list(choices)
        case Integer(low, high, step):
            return list(range(low, high + 1, step))
        case Real(low, high, step):
            step = step or (high - low) or 1.0
            # What the last step reaches but for the rounding of binary fractions is in, too.
            count = int((high - low) / step + 1e-9) + 1
            return [round(low + n * step, 12) for n in range(count)]
