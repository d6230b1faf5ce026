"""docs/queries.md says of every report what its own head says: `EVQ_WRITE_DOCS=1` writes it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from small_history import History

from evq.core.queries import Parameter, Query, values_for
from evq.projector.catalogue import reports

PAGE = Path(__file__).parents[2] / "docs" / "queries.md"
MARK = "<!-- What follows is written by tests/unit/test_queries_doc.py. -->\n"
TITLES = {
    "waiting": "Waiting",
    "setup": "Set-up and caches",
    "failures": "Failures",
    "gpus": "GPUs and cost",
    "workers": "Agents and machines",
    "tasks": "Tasks",
}


def row(parameter: Parameter) -> str:
    """A parameter's line in the table."""
    kind = ", ".join(parameter.choices) or parameter.kind
    default = f"`{parameter.default}`" if parameter.default is not None else ""
    return (
        f"| `{parameter.name}` | {kind} | {'must be given' if parameter.required else default} |"
        f" {parameter.meaning} |"
    )


def section(query: Query, history: History) -> Iterator[str]:
    """All about a query."""
    needed = {one.name: "x" for one in query.parameters if one.required}
    answer = history.database.answer(query.text, values_for(query, needed))
    yield from (f"### `@{query.name}`", "", query.meaning, "")
    yield "Columns: " + ", ".join(f"`{name}`" for name, _ in answer.columns) + "."
    if query.chart:
        yield f"`--plot` draws `{query.chart}`."
    yield ""
    if query.parameters:
        yield from ("| parameter | kind | by itself | meaning |", "|---|---|---|---|")
        yield from map(row, query.parameters)
        yield ""


def reference(history: History) -> str:
    """The part of the page that is made from the reports."""
    lines: list[str] = []
    for file, queries in reports().items():
        lines += [f"## {TITLES[Path(file).stem]}", ""]
        for query in queries.values():
            lines += section(query, history)
    return "\n".join(lines)


def test_the_page_is_what_the_reports_say(tmp_path: Path) -> None:
    history = History(tmp_path)
    head, mark, _ = PAGE.read_text("utf-8").partition(MARK)
    assert mark
    wanted = head + mark + "\n" + reference(history)
    history.database.close()
    if os.environ.get("EVQ_WRITE_DOCS"):
        PAGE.write_text(wanted, "utf-8")
    assert PAGE.read_text("utf-8") == wanted, (
        "EVQ_WRITE_DOCS=1 pytest tests/unit/test_queries_doc.py"
    )
