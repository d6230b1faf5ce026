"""`evq cache`: what agents keep on this machine to be faster, and making that smaller.

Agents keep their caches in bounds by themselves; this is for looking, and for now.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ...core import units
from ...core.errors import EvqError, UsageError
from .. import output
from ..calling import configuration
from ..options import Family, json_option
from ..output import Column
from ..submit.launch import ask
from ..tasks.render import age

Report = dict[str, Any]


@click.group(cls=Family)
def cache() -> None:
    """The caches of this machine's agents: environments, code, packages and downloads.

    An agent keeps them within the settings cache_bytes and cache_kinds, and prunes them when
    the disk runs full (disk_floor). What is in use is never removed.

    \b
    Examples:
      evq cache ls
      evq cache prune --to 20GiB
    """


@cache.command()
@json_option
def ls(as_json: bool) -> None:
    """List what is in the caches, the most recently used first.

    \b
    Examples:
      evq cache ls
      evq cache ls --json | jq '[.entries[].bytes] | add'
    """
    report = _ask("ls")
    entries = sorted(report["entries"], key=lambda entry: -entry["used"])
    if as_json:
        output.say_json({"entries": entries, "bytes": report["left"]})
    elif entries:
        _say_entries(entries)
        output.note(f"{units.size_text(report['left'])} in {len(entries)} entries, {_bound()}")
    else:
        output.note(f"the caches in {_folder()} are empty")


@cache.command()
@click.option("--to", "to_", metavar="SIZE", help="Until they take at most that much.")
@click.option("--unused", metavar="AGE", help="What was not used for so long.")
@click.option("--kind", metavar="KIND", help="Only this kind of cache.")
@click.option("--all", "all_", is_flag=True, help="Everything that is not in use.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@json_option
def prune(
    to_: str | None,
    unused: str | None,
    kind: str | None,
    all_: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove what was not used for longest; by default until the caches are in their bounds.

    \b
    Examples:
      evq cache prune --dry-run
      evq cache prune --to 20GiB
      evq cache prune --unused 14d
      evq cache prune --kind environments --all
    """
    options = {"--all": all_, "--to": to_, "--unused": unused}
    given = [name for name, value in options.items() if value]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} are both given", fix="take one of them out")
    known = configuration().settings
    bound = 0 if all_ else units.size(to_) if to_ else None
    words = ["--kinds", known.cache_kinds] if bound is None and not unused else []
    words += ["--unused", str(units.seconds(unused))] if unused else []
    if bound is None and kind is None and not unused:
        bound = known.cache_bytes
    words += ["--to", str(bound)] if bound is not None else []
    words += ["--kind", kind] if kind else []
    report = _ask("prune", *words, *(["--dry-run"] if dry_run else []))
    if kind and kind not in report["kinds"]:
        raise UsageError(
            f"there is no kind of cache {kind!r}",
            why=f"there are {', '.join(report['kinds'])}",
            fix="evq cache ls",
        )
    if report["busy"]:
        raise EvqError(
            "the caches are being pruned at this moment",
            why="an agent or another evq cache prune is at it",
            fix="evq cache ls shows what it left",
        )
    freed = sum(entry["bytes"] for entry in report["entries"])
    if as_json:
        facts = {"entries": report["entries"], "freed": freed, "bytes": report["left"]}
        output.say_json(facts)
        return
    if report["entries"]:
        _say_entries(report["entries"])
    done = "would be freed" if dry_run else "freed"
    output.note(f"{units.size_text(freed)} {done}, {units.size_text(report['left'])} left")


def _ask(*words: str) -> Report:
    report: Report = ask("evq.agent.caches", [*words, "--cache-dir", str(_folder())])
    return report


def _folder() -> Path:
    return Path(configuration().settings.cache_dir)


def _bound() -> str:
    known = configuration().settings
    kinds = f" ({known.cache_kinds})" if known.cache_kinds else ""
    return f"at most {units.size_text(known.cache_bytes)}{kinds}, in {known.cache_dir}"


def _say_entries(entries: Sequence[dict[str, Any]]) -> None:
    columns = [
        Column("KIND"),
        Column("NAME", soft=True),
        Column("SIZE", right=True),
        Column("USED", right=True),
        Column(""),
    ]
    rows = [
        (
            entry["kind"],
            entry["name"],
            units.size_text(entry["bytes"]),
            f"{age(int(entry['used'] * 1e6))} ago",
            "in use" if entry["in_use"] else "",
        )
        for entry in entries
    ]
    output.say_table(columns, rows)
