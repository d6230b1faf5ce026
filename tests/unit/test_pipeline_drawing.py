"""The graph of a pipeline on a terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evq.services.pipeline.drawing import draw


def drawn(**parents: str) -> str:
    lines = draw(list(parents), {name: one.split() for name, one in parents.items()})
    return "\n".join(f"{one.left}{f'●{one.right} {one.step}' if one.step else ''}" for one in lines)


def test_a_chain_is_one_rail() -> None:
    assert drawn(a="", b="a", c="b") == "● a\n● b\n● c"


def test_what_parts_and_joins() -> None:
    assert drawn(prepare="", train="prepare", baseline="prepare", report="train baseline") == (
        "● prepare\n├─╮\n│ ● train\n● │ baseline\n├─╯\n● report"
    )


def test_what_has_nothing_before_it_stands_beside() -> None:
    assert drawn(a="", b="", c="a", d="b c") == "● a\n│ ● b\n● │ c\n├─╯\n● d"


def test_an_edge_over_others_crosses_them() -> None:
    assert drawn(a="", b="", c="", d="a c", e="b d") == (
        "● a\n│ ● b\n│ │ ● c\n├─┼─╯\n● │ d\n├─╯\n● e"
    )


@given(st.lists(st.sets(st.integers(0, 11)), min_size=1, max_size=12))
def test_every_edge_can_be_followed_up_to_its_step(above: list[set[int]]) -> None:
    """Whoever climbs from a step along the rails meets all that it waits for."""
    order = [f"s{n}" for n in range(len(above))]
    parents = {f"s{n}": {f"s{m}" for m in some if m < n} for n, some in enumerate(above)}
    lines = draw(order, parents)
    assert [one.step for one in lines if one.step] == order
    marks = {one.step: len(one.left) for one in lines if one.step}
    rows = [f"{one.left}{'●' * bool(one.step)}{one.right}" for one in lines]
    for step in order:
        row = next(n for n, one in enumerate(lines) if one.step == step)
        assert parents[step] <= climbed(rows, row, marks[step], lines)


def climbed(rows: list[str], row: int, column: int, lines: list[object]) -> set[str]:
    """The steps that are met first on all ways up from a mark."""
    if row == 0:
        return set()
    at = {n: rows[row - 1][n : n + 1] for n in range(0, len(rows[row - 1]) + 1, 2)}
    columns = {column}
    if not lines[row - 1].step:  # type: ignore[attr-defined]
        columns = (
            {n for n, char in at.items() if char in "╵│╯╰├┤┴┼"} if at[column].strip() else set()
        )
        row -= 1
    found = set()
    for one in columns:
        above = row - 1
        while above >= 0 and rows[above][one : one + 1] not in ("●", ""):
            above -= 1
        if above >= 0 and rows[above][one : one + 1] == "●":
            found.add(lines[above].step)  # type: ignore[attr-defined]
    return found
