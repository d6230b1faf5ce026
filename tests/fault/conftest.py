"""Puts the stage of `scene` on a server that the test may kill."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

# These modules are shared with benchmarks/soak.py, which is no test.
sys.path.insert(0, str(Path(__file__).parent))

from cable import Cable
from scene import Scene


@pytest.fixture
async def scene(own_nats_server: Any, tmp_path: Path) -> AsyncIterator[Scene]:
    """A stage with a server of its own."""
    async with Scene(own_nats_server, tmp_path) as opened:
        yield opened


@pytest.fixture
async def cable(own_nats_server: Any) -> AsyncIterator[tuple[Cable, str]]:
    """A cable to that server, and the address of its near end."""
    cable = Cable(own_nats_server.port)
    yield cable, await cable.open()
    await cable.close()
