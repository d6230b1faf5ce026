"""`evq projector`: keep the database, and answer questions."""

from __future__ import annotations

import click
import msgspec

from ...core.sdk.trim import Ages
from ..calling import settings_with
from ..submit.launch import become


@click.command()
@click.option("--store", metavar="DIR", help="The folder to keep the database in.")
@click.option("--rebuild", is_flag=True, help="Throw the database away and read the whole log.")
@click.option("--verify", is_flag=True, help="Compare the database with the log, and end.")
def projector(store: str | None, rebuild: bool, verify: bool) -> None:
    """Fold the log into a database, and answer the questions of the other verbs.

    The database holds nothing that is not in the log: it can be rebuilt at any time.

    \b
    Examples:
      evq projector
      evq projector --rebuild
    """
    known = settings_with(store=store)
    flags = [name for name, on in (("--rebuild", rebuild), ("--verify", verify)) if on]
    keep = ["--keep-samples", f"{known.keep_samples:g}"]
    ages = Ages(known.trim_metrics, known.trim_logs, known.trim_minutes)
    trim = ["--trim", msgspec.json.encode(ages).decode()] if ages else []
    after = known.archive_after
    archive = [] if after is None else ["--archive-after", f"{after:g}"]
    become("evq.projector", ["--store", known.store, *keep, *trim, *archive, *flags], known)
