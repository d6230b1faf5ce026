"""A copy of the database, read beside the projection, and written out as Parquet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import duckdb

from ..store import Tables

_MEMORY = "1GB"


class Snapshot(Tables):
    """A copy of a database, opened for reading beside the projection."""

    def __init__(self, path: Path, spill: Path) -> None:
        """`spill` is a folder for what does not fit into memory."""
        config: dict[str, Any] = {
            "memory_limit": _MEMORY,
            "threads": max(1, (os.cpu_count() or 1) // 2),
            "temp_directory": str(spill),
            "preserve_insertion_order": "false",
            "autoinstall_known_extensions": "false",
        }
        super().__init__(duckdb.connect(str(path), read_only=True, config=config))

    def types(self) -> dict[str, dict[str, str]]:
        """The columns of each table, and their types."""
        return self._types

    def write_parquet(self, query: str, file: Path) -> int:
        """Write the rows of a query into a file; how many there were."""
        quoted = str(file).replace("'", "''")
        copied = self.rows(f"COPY ({query}) TO '{quoted}' (FORMAT parquet, COMPRESSION zstd)")
        return int(copied[0][0])
