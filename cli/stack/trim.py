"""`evq trim`: let go of what is old in the database; the log keeps its events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from ...core import units
from ...core.errors import UsageError
from ...core.questions import Named
from .. import output
from ..calling import call, settings
from ..options import json_option, reason_option

if TYPE_CHECKING:
    from ...core.sdk.client import Client
    from ...core.sdk.trim import Ages

LEAST_SECONDS = 3600.0


@click.command()
@click.option("--metrics", metavar="AGE", help="Thin curves of tasks that ended so long ago.")
@click.option("--logs", metavar="AGE", help="Drop what tasks wrote that ended so long ago.")
@click.option("--minutes", metavar="AGE", help="Drop minutes of machines, GPUs and tasks.")
@click.option("--apply", "apply_", is_flag=True, help="Do it; else only say what would go.")
@reason_option
@json_option
def trim(
    metrics: str | None,
    logs: str | None,
    minutes: str | None,
    apply_: bool,
    reason: str,
    as_json: bool,
) -> None:
    """Let go of metrics, logs and minutes that are older than AGE; without --apply say how much.

    Of a curve the first and last point and the outline stay, of machines the hours. Tasks, their
    attempts and events stay. Nothing goes of a task that has not ended, and nothing that is
    younger. Without an AGE those of the settings trim_metrics, trim_logs and trim_minutes count.
    What was exported before stays in the export.

    \b
    Examples:
      evq trim --metrics 90d --logs 30d
      evq export ~/history && evq trim --logs 30d --apply --reason "the disk is small"
    """
    from ...core.sdk.trim import Ages

    known = settings()
    given = Ages(_age(metrics), _age(logs), _age(minutes))
    ages = given or Ages(known.trim_metrics, known.trim_logs, known.trim_minutes)
    if not ages:
        raise UsageError(
            "nothing is to go",
            why="no age was named, and no setting says one",
            fix="evq trim --metrics 90d --logs 30d",
        )
    facts = call(lambda client: _trim(client, ages, reason if apply_ else None))
    if as_json:
        output.say_json(facts)
        return
    for what in ("points", "lines", "minutes"):
        if getattr(ages, "metrics" if what == "points" else "logs" if what == "lines" else what):
            output.say(f"{facts[what]:>12,} {what}")
    size = units.size_text(facts["database_bytes"])
    if facts["seq"] is None:
        output.note(f"would go, of {facts['tasks']:,} tasks; the database has {size}")
        output.note("nothing was changed: --apply does it")
    else:
        output.note(f"go, of {facts['tasks']:,} tasks; the database has {size} now")
        output.note("evq sql @trim-left tells how much is left to do")


def _age(written: str | None) -> float | None:
    if written is None:
        return None
    seconds = units.seconds(written)
    if seconds < LEAST_SECONDS:
        raise UsageError(
            f"{written} is too young to go",
            why="what goes cannot be brought back, so an age is an hour at least",
            fix="evq trim --logs 30d",
        )
    return seconds


async def _trim(client: Client, ages: Ages, reason: str | None) -> dict[str, Any]:
    """What would go, or if there is a reason, may it be empty, what goes."""
    from ...core.sdk.author import now
    from ...core.sdk.trim import trim as append

    at = now()
    (facts,) = [row async for row in client.rows(Named("trim_preview", ages.moments(at)))]
    seq = None
    if reason is not None:
        seq = await append(client.bus, client.author, ages, reason, at)
    return {**facts, "seq": seq, "ages": msgspec.structs.asdict(ages)}
