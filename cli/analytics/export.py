"""`evq export`: a copy of the whole history in a folder, brought up to now each time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...core import units
from .. import output
from ..calling import call
from ..options import json_option
from ..tasks.render import iso

if TYPE_CHECKING:
    from ...core.history import Part
    from ...core.sdk.client import Client
    from ...core.sdk.export import Exported


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
@json_option
def export(folder: Path, as_json: bool) -> None:
    """Copy the whole history into DIR as Parquet files, which need neither evq nor a server.

    The first export copies everything, each later one what is new. DIR/current is the newest
    edition: all tables as they were at one moment, whatever happens to evq or to this command.

    \b
    Examples:
      evq export ~/history
      evq sql --local ~/history "select state, count(*) from tasks group by state"
      duckdb -c "from '~/history/current/metrics/**/*.parquet'"
    """
    done = call(lambda client: _export(client, folder))
    if as_json:
        output.say_json(
            {
                "folder": str(done.folder),
                "at": iso(done.manifest.at),
                "files": done.files,
                "rows": done.rows,
                "bytes": done.size,
                "all_files": len(done.manifest.files),
                "all_rows": sum(part.rows for part in done.manifest.files),
                "all_bytes": sum(part.size for part in done.manifest.files),
                "streams": done.manifest.streams,
            }
        )
        return
    output.say(str(done.folder))
    if not done.files:
        output.note("nothing had happened since the last export")
        return
    rows, files = output.count_of(done.rows, "row"), output.count_of(done.files, "new file")
    whole = sum(part.size for part in done.manifest.files)
    output.note(
        f"{rows} in {files}, {units.size_text(done.size)}; all of it is {units.size_text(whole)}"
    )


async def _export(client: Client, folder: Path) -> Exported:
    from ...core.sdk.export import export as bring_up_to_now

    def tell(part: Part) -> None:
        if output.on_terminal():
            output.note(output.dim(f"{part.path}  {units.size_text(part.size)}"))

    return await bring_up_to_now(client, folder, tell)
