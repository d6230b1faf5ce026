"""The Parquet file that a cell writes its answer to.

The file has no name from the beginning, so that nothing is left of it however the cell ends. DuckDB
reaches it by its descriptor, the only path that it may still write to.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import duckdb

from ..core.errors import QueryFailed
from ..core.questions import Column

LIMIT = 256 * 2**20
"""How large such a file may become, in bytes."""

_CHUNK = 512 * 1024


def unnamed_file(beside: str) -> BinaryIO:
    """A file without a name, on the disk of the file `beside`; an export is a folder, and not ours
    to write to."""
    path = Path(beside)
    return tempfile.TemporaryFile(dir=None if path.is_dir() else path.parent)


def path_of(file: BinaryIO) -> str:
    """The path by which DuckDB reaches the file."""
    return f"/dev/fd/{file.fileno()}"


def write(
    connection: duckdb.DuckDBPyConnection, query: str, params: dict[str, Any], file: BinaryIO
) -> list[Column]:
    """Write the rows of a query into the file; its columns. Raises `QueryFailed`."""
    relation = connection.sql(query, params=params)
    try:
        relation.write_parquet(path_of(file), compression="zstd", use_tmp_file=False)
    except duckdb.IOException as error:
        raise _not_written(error) from error
    return [
        Column(name, str(kind)) for name, kind in zip(relation.columns, relation.types, strict=True)
    ]


def chunks(file: BinaryIO) -> Iterator[bytes]:
    """What was written."""
    file.seek(0)
    while chunk := file.read(_CHUNK):
        yield chunk


def _not_written(error: duckdb.IOException) -> Exception:
    if os.strerror(errno.EFBIG) in str(error):
        return QueryFailed(
            f"the Parquet file would be larger than {LIMIT // 2**20} MiB",
            why="nothing was sent of it",
            fix="ask for fewer rows or columns; `evq export DIR` copies the whole history",
        )
    if os.strerror(errno.ENOSPC) in str(error):
        return QueryFailed(
            "there is no room on the disk for the Parquet file",
            fix="free some, or ask for less",
        )
    return error
