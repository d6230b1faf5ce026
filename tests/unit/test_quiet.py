"""When a task is quiet, and in what words."""

from __future__ import annotations

import pytest

from evq.core.fleet.presence import AgentPresence, RunningTask
from evq.core.fleet.quiet import is_idle, quiet_since, quiet_tasks, quiet_words

MINUTE = 60_000_000
NOW = 600 * MINUTE


@pytest.mark.parametrize(
    ("cpu", "gpu", "idle"),
    [
        (0.0, None, True),
        (4.9, 0.0, True),
        (5.1, 0.0, False),
        (0.0, 100.0, False),
        (None, None, False),
        (None, 0.0, False),
    ],
)
def test_as_good_as_nothing(cpu: float | None, gpu: float | None, idle: bool) -> None:
    assert is_idle(cpu, gpu) is idle


@pytest.mark.parametrize(
    ("said", "idle", "since"),
    [
        (100, 200, 200),
        (200, 100, 200),
        (541, 100, None),
        (540, 100, 540),
        (100, 541, None),
        (100, None, None),
    ],
)
def test_it_is_quiet_since_it_neither_spoke_nor_worked(
    said: int, idle: int | None, since: int | None
) -> None:
    found = quiet_since(said * MINUTE, None if idle is None else idle * MINUTE, NOW, 3600.0)
    assert found == (None if since is None else since * MINUTE)
    assert quiet_since(0, 0, NOW, 0.0) is None, "it is never told then"


def test_those_of_all_agents_are_told_together() -> None:
    running = [
        RunningTask(task=name, attempt=1, name="t", user="u", slot=0, since=0, quiet=quiet)
        for name, quiet in (("a", 7), ("b", None), ("c", 0))
    ]
    agents = [
        AgentPresence(
            agent=f"g{n}", instance="i", host="h", pid=1, queues=("q",), order="strict", slots=1,
            running=(one,),
        )
        for n, one in enumerate(running)
    ]  # fmt: skip
    assert quiet_tasks(agents) == {"a": 7, "c": 0}
    assert quiet_words(NOW - 190 * MINUTE, NOW) == "quiet for 3h"
    assert quiet_words(None, NOW) == ""
