"""The arrows between the rooms, and who may import what from outside."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("core", "agent", "projector", "cli", "services")
MAY_IMPORT = {
    "core": (),
    "agent": ("core",),
    "projector": ("core",),
    "services": ("core",),
    "cli": ("core", "services"),
}

ONLY_IN = {
    "anyio": ("core/sdk/blocking.py",),
    "nats": ("core/bus/",),
    "duckdb": (
        "projector/store.py",
        "projector/sandbox.py",
        "projector/parquet.py",
        "projector/history/snapshot.py",
        "projector/parser.py",
    ),
    "docker": ("agent/containers/engine.py", "services/autoscaler/drivers/docker.py"),
    "psutil": (
        "agent/probe.py",
        "agent/machine/host.py",
        "services/autoscaler/drivers/local.py",
    ),
    "boto3": ("core/bus/depots/s3.py", "services/autoscaler/drivers/aws.py"),
    "botocore": ("core/bus/depots/s3.py", "services/autoscaler/drivers/aws.py"),
    "pynvml": ("agent/gpus/nvml.py",),
    "amdsmi": ("agent/gpus/amd.py",),
    "google": ("agent/trackers/tensorboard/",),
    "google_crc32c": ("agent/trackers/tensorboard/",),
    "keyring": ("agent/secret_sources.py",),
    "cronsim": ("services/schedule/due.py",),
    "apprise": ("services/alert/sending.py",),
    "optuna": ("services/sweep/study.py", "services/sweep/pruner.py"),
    "plotext": ("cli/analytics/plot.py",),
    "click": ("cli/",),
    "rich": ("cli/",),
    "textual": ("cli/top/",),
}
"""Packages from outside that one place alone knows."""

HEART_LACKS = frozenset(
    {"asyncio", "datetime", "io", "logging", "multiprocessing", "os", "pathlib", "random"}
    | {"secrets", "select", "shutil", "signal", "socket", "ssl", "subprocess", "sys"}
    | {"tempfile", "threading", "time", "urllib", "uuid"}
)
"""The heart has no clock, no randomness, no files and no network; whoever calls it has."""

HEART_EXCEPT = {
    ("core/ports.py", "pathlib"),
    ("core/cleaning/cleaned.py", "datetime"),
    ("core/fleet/schedule.py", "datetime"),
    ("core/past.py", "datetime"),
    ("core/words/phrases.py", "signal"),
}
"""A port may name a path; the heart opens none. A schedule reckons with moments it is given, as
does who reads what people type, and who tells on which day something went; words know what
signals are called."""


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """(level, module) of each import: level 0 is absolute, 1 the file's own folder, and so on."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((0, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = f"{node.module}." if node.module else ""
            yield from ((node.level, base + name.name) for name in node.names)


def violations(root: Path) -> list[str]:
    """What in the house under `root` imports what it must not."""
    found = []
    for file in sorted(file for room in ROOMS for file in (root / room).rglob("*.py")):
        where = file.relative_to(root)
        room = where.parts[0]
        for level, module in imports(file):
            first = module.partition(".")[0]
            # Above the root is nothing; at the root stand the rooms.
            at_root = level == len(where.parts)
            if (
                (level == 0 and first == "evq")
                or level > len(where.parts)
                or (at_root and first not in (room, *MAY_IMPORT[room]))
                or (level == 0 and not str(where).startswith(ONLY_IN.get(first, ("",))))
                or (
                    level == 0
                    and room == "core"
                    and where.parts[1] not in ("bus", "sdk")
                    and first in HEART_LACKS
                    and (str(where), first) not in HEART_EXCEPT
                )
            ):
                found.append(f"{where}: {'.' * level}{module}")
    return found


def test_the_house_keeps_its_arrows() -> None:
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("core/spec.py", "from ..agent import loop"),
        ("core/sdk/client.py", "from ...cli import main"),
        ("agent/loop.py", "from ..projector.store import Store"),
        ("cli/stack/up.py", "from ...agent.loop import Agent"),
        ("projector/main.py", "def later():\n    from ..cli import main"),
        ("agent/loop.py", "import evq.core"),
        ("agent/loop.py", "from evq.core import decide"),
        ("agent/loop.py", "import nats.errors"),
        ("projector/rows.py", "import duckdb"),
        ("agent/loop.py", "from psutil import cpu_count"),
        ("agent/containers/container.py", "from docker.errors import APIError"),
        ("agent/attempts/launch.py", "import keyring"),
        ("core/sdk/client.py", "import click"),
        ("core/sdk/client.py", "from anyio.from_thread import BlockingPortal"),
        ("cli/analytics/sql.py", "import plotext"),
        ("agent/main.py", "from rich.table import Table"),
        ("core/decide.py", "import time"),
        ("core/evolve.py", "from datetime import datetime"),
        ("core/ids.py", "import secrets"),
        ("core/queueing/queues.py", "import random"),
        ("core/wire.py", "import os.path"),
        ("core/handle.py", "import asyncio"),
        ("core/decide.py", "from pathlib import Path"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, where: str, line: str) -> None:
    (tmp_path / where).parent.mkdir(parents=True)
    shutil.copy(ROOT / where, tmp_path / where)
    assert violations(tmp_path) == []
    with (tmp_path / where).open("a") as file:
        file.write(f"\n{line}\n")
    (found,) = violations(tmp_path)
    assert found.startswith(where)
