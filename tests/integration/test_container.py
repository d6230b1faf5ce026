"""Tasks in containers, by a real agent on a real engine."""

from __future__ import annotations

from evq.core.events import Cause, Finished, Outcome
from evq.core.spec import Container

BARE = "evq-test-bare"


async def test_a_command_in_a_bare_image(queue, start_agent):
    start_agent([queue], "--docker-args", "--network none").ready()
    task = await queue.run("sh", "-c", "cat /etc/hostname; pwd; id -u; env", container=Container(BARE))
    print(await queue.lines(task.id))
    print(task.attempts)
    assert task.state.outcome is Outcome.COMPLETED
