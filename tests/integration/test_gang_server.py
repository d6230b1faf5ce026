"""A gang whose server is killed while it gathers."""

from __future__ import annotations

from typing import Any

import pytest
from gang import SCRIPT, enqueue, gathering


@pytest.fixture
def nats_server(own_nats_server: Any) -> Any:
    """A server that nobody else uses."""
    return own_nats_server


async def test_a_gang_goes_on_gathering_after_its_server_was_killed(
    nats_server, queue, start_agent, tmp_path, until
) -> None:
    for _ in range(3):
        start_agent([queue], "--lease", "5", "--allow-setup").ready()
    gang = await enqueue(queue, "true", nodes=3, setup=SCRIPT.format(folder=tmp_path))
    await gathering(gang, until)
    nats_server.restart()
    await until(lambda: queue.client.bus.connected)
    (tmp_path / "open").touch()
    tasks = await gang.ended()
    assert [task.name_of_state for task in tasks] == ["completed"] * 3
    assert [len(task.past) for task in tasks] == [1, 1, 1]
