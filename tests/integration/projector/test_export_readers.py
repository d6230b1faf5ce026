"""An export in the hands of people without evq: pandas, polars, pyarrow (`uv sync --group
analysis`)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from projecting import caught_up

from evq.core.sdk.export import Exported, export

VALUES = [3.0, 1.0, 0.5]


@pytest.fixture
async def exported(projector: Any, user: Any, tmp_path: Path) -> Exported:
    """Two editions of a history with two tasks."""
    await projector.start()
    for name in ("one", "two"):
        task = await user.live((await user.add()).task)
        await user.points(task, *VALUES)
        await user.lines(task, name)
        await caught_up(user)
        done = await export(user, tmp_path / "history")
    return done


def library(name: str) -> Any:
    if not find_spec(name):
        pytest.skip(f"{name} is not installed here")
    return pytest.importorskip(name)


async def test_pandas(exported: Exported) -> None:
    pandas = library("pandas")
    library("pyarrow")
    tasks = pandas.read_parquet(exported.folder / "tasks")
    assert sorted(tasks["state"]) == ["completed", "completed"]
    metrics = pandas.read_parquet(exported.folder / "metrics").merge(tasks, on="task")
    assert sorted(metrics["value"]) == sorted(VALUES * 2)
    assert str(metrics["ts"].dtype).startswith("datetime64")
    assert set(pandas.read_parquet(exported.folder / "logs")["text"]) == {"one", "two"}


async def test_polars(exported: Exported) -> None:
    polars = library("polars")
    metrics = polars.read_parquet(exported.folder / "metrics" / "**" / "*.parquet")
    assert sorted(metrics["value"]) == sorted(VALUES * 2)
    lazy = polars.scan_parquet(exported.folder / "events" / "**" / "*.parquet")
    counted = lazy.group_by("kind").len().collect()
    assert dict(counted.iter_rows())["finished"] == 2


async def test_pyarrow(exported: Exported) -> None:
    library("pyarrow")
    from pyarrow import dataset

    for table in {part.path.partition("/")[0] for part in exported.manifest.files}:
        rows = sum(p.rows for p in exported.manifest.files if p.path.startswith(f"{table}/"))
        read = dataset.dataset(exported.folder / table, partitioning="hive").to_table()
        assert read.num_rows == rows, table
