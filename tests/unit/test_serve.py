"""What `evq up` brings beside the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evq.cli.stack import serve
from evq.cli.stack.embedded import Door


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({}, ["projector", "agent", "services", "ui"]),
        ({"services": False}, ["projector", "agent", "ui"]),
        ({"agent": False}, ["projector", "ui"]),
        ({"projector": False}, ["agent", "services", "ui"]),
        ({"queues": ("default", "services")}, ["projector", "agent", "ui"]),
        ({"ui": False}, ["projector", "agent", "services"]),
    ],
)
def test_what_runs_beside_the_server(
    tmp_path: Path, more: dict[str, Any], names: list[str]
) -> None:
    plan = serve.Plan(store=tmp_path, **more)
    found = serve.members(plan, Door("127.0.0.1", 4222, "token"))
    assert [process.name for process in found] == names
    # Nobody waits for services and the dashboard when all is brought up.
    late = {process.name: process.argv for process in found if not process.awaited}
    assert list(late) == [name for name in names if name in ("services", "ui")]
    if "services" in late:
        assert late["services"][-2:] == ("--services", "--no-wait")
