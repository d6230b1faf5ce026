"""Puts the stage of `scene` on a server that the test may kill."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

# These modules are shared with benchmarks/soak.py, which is no test.
sys.path.insert(0, str(Path(__file__).parent))

from scene import Scene


@pytest.fixture
async def scene(own_nats_server: Any, tmp_path: Path) -> AsyncIterator[Scene]:
    """A stage with a server of its own."""
    async with Scene(own_nats_server, tmp_path) as opened:
        yield opened
