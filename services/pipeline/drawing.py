"""The graph of a pipeline for a terminal: a line for each step, and its edges as rails beside them.

● prepare
├─╮
│ ● baseline
● │ train
├─╯
● report
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

_CORNERS = " ╵╷│╴╯╮┤╶╰╭├─┴┬┼"
"""By what leads away from a place: 1 up, 2 down, 4 to the left, 8 to the right."""


class Line(msgspec.Struct, frozen=True):
    """A line of the graph: what stands left and right of the step's own mark, and the step.

    Lines in between, where rails part and join, have no step, and all of it stands left.
    """

    left: str
    right: str = ""
    step: str = ""


def draw(order: Sequence[str], parents: Mapping[str, Collection[str]]) -> list[Line]:
    """The graph from top to bottom. A rail goes down from a step to the last that waits for it."""
    lines: list[Line] = []
    rails: list[str | None] = []
    for place, step in enumerate(order):
        later = order[place + 1 :]
        own = [column for column, rail in enumerate(rails) if rail in parents[step]]
        after = [rail if _goes_on(rail, later, parents) else None for rail in rails]
        ending = [column for column in own if after[column] is None]
        column = ending[0] if ending else _free(after)
        after += [None] * (column + 1 - len(after))
        if own and own != [column]:
            lines.append(Line(_joint(rails, after, own, column)))
        left = "".join("│ " if rail else "  " for rail in after[:column])
        right = "".join(" │" if rail else "  " for rail in after[column + 1 :])
        lines.append(Line(left, right.rstrip(), step))
        after[column] = step if _goes_on(step, later, parents) else None
        rails = after
    return lines


def _goes_on(
    step: str | None, later: Sequence[str], parents: Mapping[str, Collection[str]]
) -> bool:
    return any(step in parents[one] for one in later)


def _free(rails: Sequence[str | None]) -> int:
    return next((n for n, rail in enumerate(rails) if rail is None), len(rails))


def _joint(
    before: Sequence[str | None], after: Sequence[str | None], own: Sequence[int], column: int
) -> str:
    """The line in which the rails of `own` lead to the step in `column`."""
    first, last = min(*own, column), max(*own, column)
    drawn = ""
    for n in range(max(len(before), len(after))):
        up = n < len(before) and before[n] is not None
        down = n == column or (n < len(after) and after[n] is not None)
        drawn += _CORNERS[up + 2 * down + 4 * (first < n <= last) + 8 * (first <= n < last)]
        drawn += "─" if first <= n < last else " "
    return drawn.rstrip()
