"""What was asked for and where it ran: parameters, options, packages, attempts, events."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from .....core import parameters
from .....core.spec import argv_text
from .....core.state import Attempt, Task
from .....core.units import duration_text, size_text
from .....core.words.masking import MASK, looks_secret, masked
from .....core.words.phrases import end_text, span
from .....core.words.values import value_text
from ...source import Source

DENSE = "dense flat bordered wrap-cells"
MOST_EVENTS = 2000


def pairs(rows: dict[str, str]) -> None:
    """Names and values in two columns."""
    with (
        ui.element("div")
        .classes("grid gap-x-4 gap-y-1 text-sm w-full")
        .style("grid-template-columns: minmax(6rem, max-content) 1fr")
    ):
        for name, value in rows.items():
            ui.label(name).classes("opacity-70")
            ui.label(value).classes("font-mono text-xs break-all self-center whitespace-pre-wrap")


def show_parameters(task: Task) -> None:
    """Parameters, then variables and options, as they were given."""
    rows = [
        {
            "name": one.name,
            "value": MASK
            if one.where == "environment" and looks_secret(one.name)
            else value_text(one.name, one.value),
            "where": one.where,
        }
        for one in parameters.read(task.spec)
    ]
    if rows:
        ui.table(rows=rows, row_key="name", columns=columns("name", "value", "where")).props(
            DENSE
        ).classes("w-full evq-parameters")
    else:
        ui.label("It has no parameters.").classes("text-sm opacity-70")
    pairs(_asked(task))


def _asked(task: Task) -> dict[str, str]:
    spec = task.spec
    facts = {
        "command": argv_text(spec.entry),
        "queue": f"{task.place.queue}, priority {task.place.priority}",
        "user": f"{spec.user}@{spec.host}",
        "project": spec.project,
        "environment": spec.manager,
        "requirements": " ".join(spec.requirements),
        "python": spec.python or "",
        "container": spec.container.image if spec.container else "",
        "gpus": str(spec.gpus or ""),
        "gpu memory": size_text(spec.gpu_memory) if spec.gpu_memory else "",
        "nodes": str(spec.nodes) if spec.nodes > 1 else "",
        "retries": f"{spec.retries}, {task.failures} used" if spec.retries else "",
        "timeout": duration_text(spec.timeout) if spec.timeout else "",
        "secrets": " ".join(spec.secrets),
        "client": "it has a login to the server" if spec.client else "",
        "ports": ", ".join(map(str, spec.ports)),
        "key": spec.key or "",
    }
    facts |= {name: masked(name, value) for name, value in spec.variables.items()}
    return {name: value for name, value in facts.items() if value}


def show_attempts(task: Task) -> None:
    """Each try: where, with what, how it ended."""
    for attempt in reversed(task.attempts):
        with ui.card().classes("w-full p-3 gap-1 evq-attempt"):
            ui.label(f"attempt {attempt.number} on {attempt.agent}").classes("font-bold text-sm")
            pairs(_attempt(attempt))


def _attempt(attempt: Attempt) -> dict[str, str]:
    launch, end, made = attempt.launch, attempt.end, attempt.environment
    facts = {
        "GPUs": ", ".join(attempt.gpus),
        "host": launch.host if launch else "",
        "pid": str(launch.pid) if launch else "",
        "folder": launch.folder if launch else "",
        "ran": " ".join(launch.argv) if launch else "",
        "commit": attempt.commit or "",
        "environment": ", ".join(
            filter(None, (made.manager, made.python and f"Python {made.python}"))
        )
        if made
        else "",
        "image": (made.image or "") if made else "",
    }
    if end:
        how = end_text(end.exit_code, end.cause)
        facts["ended"] = ", ".join(
            filter(None, (end.outcome.value if end.outcome else "lost", how))
        )
        facts["evidence"] = end.evidence
        if end.usage:
            used = f"{span(end.usage.wall)} wall, {span(end.usage.cpu)} cpu"
            most = f", {size_text(end.usage.max_rss)} at most" if end.usage.max_rss else ""
            facts["used"] = used + most
    return {name: value for name, value in facts.items() if value}


def show_packages(task: Task) -> None:
    """What the last attempt had installed."""
    last = task.attempts[-1] if task.attempts else None
    packages = last.environment.packages if last and last.environment else ()
    if not packages:
        ui.label("No packages are known.").classes("text-sm opacity-70")
        return
    rows = [{"name": one.name, "version": one.version} for one in packages]
    wanted = ui.input(placeholder="search packages").props("dense outlined clearable")
    table = ui.table(rows=rows, row_key="name", columns=columns("name", "version"), pagination=100)
    table.props(DENSE).classes("w-full max-w-xl evq-packages").bind_filter_from(wanted, "value")


async def show_events(source: Source, task: Task) -> None:
    """All that happened to it, the latest first."""
    answer = await source.known("events", task=task.id, limit=MOST_EVENTS)
    if answer.seq < task.seq:  # its last event is known here, and not to the projector yet
        answer = await source.named("events", task=task.id, limit=MOST_EVENTS)
    rows = [
        {
            "seq": row["seq"],
            "when": row["ts"][:19].replace("T", " "),
            "what": row["kind"],
            "by": row["by"],
        }
        for row in reversed(answer.rows)
    ]
    ui.table(
        rows=rows, row_key="seq", columns=columns("when", "what", "by", "seq"), pagination=100
    ).props(DENSE).classes("w-full evq-events")


def columns(*names: str) -> list[dict[str, Any]]:
    """Columns of a table, all to the left."""
    return [
        {"name": name, "label": name, "field": name, "align": "left", "sortable": True}
        for name in names
    ]
