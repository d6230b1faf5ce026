"""A queue that nobody serves, but for which an autoscaler has machines."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from evq.core.bus.connect import Bus
from evq.core.journal import holder_of
from evq.core.sdk.autoscalers import autoscalers_for
from evq.core.sdk.client import Client
from evq.services.autoscaler.journal import autoscaler_journal

WISH = """
server = "nats://127.0.0.1:1"
[kinds.small]
driver = "local"
queues = ["burst"]
gpus = 1
"""

SWEEP = """
name = "lr"
run = "--env none -q burst --no-code -- true"
trials = 2

[objective]
metric = "loss"

[space.lr]
low = 0.1
high = 1.0
"""


@pytest.fixture
async def cloud(evq: Any) -> Any:
    """The command line where an autoscaler is started, whose controller waits for an agent."""
    (evq.cwd / "cloud.toml").write_text(WISH)
    begun = await evq("autoscaler", "start", "cloud.toml")
    assert begun.status == 0, begun.err
    return evq


async def test_a_machine_comes_for_it(cloud: Any) -> None:
    result = await cloud("enqueue", "-q", "burst", "--gpus", "1", "--", "true")
    said = "machine autoscaler cloud starts one for queue burst, which no agent serves now"
    assert said in result.err and "warning" not in result.err
    why = (await cloud("why", "--json")).json
    assert why["waits_for"] == "machine"
    words = "it waits for a machine: autoscaler cloud starts them for queue burst"
    assert why["because"] == words
    assert why["start_unknown"] == "its machine is not there yet"
    # The controller itself waits: nobody serves the queue for services.
    (reason,) = [one for one in why["reasons"] if one["text"].startswith("autoscaler cloud: ")]
    assert not reason["ok"] and reason["text"].endswith("is queued")
    known = await cloud("enqueue", "-q", "burst", "--json", "--", "true")
    assert (known.json["served"], known.json["autoscaler"]) == (False, "cloud")


async def test_none_comes_that_could_not_run_it_or_serves_other_queues(cloud: Any) -> None:
    other = await cloud("enqueue", "-q", "default", "--", "true")
    assert "warning: no agent serves queue 'default', so the task waits" in other.err
    large = await cloud("enqueue", "-q", "burst", "--gpus", "2", "--", "true")
    assert "warning: no agent serves queue 'burst', so the task waits" in large.err
    why = (await cloud("why", "--json")).json
    assert why["waits_for"] == "no_agent"
    assert {
        "ok": False,
        "text": "autoscaler cloud: none of its machines could run it, lacks 2 GPUs, has 1",
    } in why["reasons"]


async def test_one_that_is_stopped_or_whose_controller_ended_has_none(
    cloud: Any, jetstream_bus: Bus
) -> None:
    await Client(jetstream_bus).stop_service("autoscaler", "cloud")
    result = await cloud("enqueue", "-q", "burst", "--", "true")
    assert "warning: no agent serves queue 'burst'" in result.err
    await cloud("autoscaler", "start", "cloud.toml")
    assert "warning" not in (await cloud("enqueue", "-q", "burst", "--", "true")).err
    await cloud("autoscaler", "stop", "cloud")
    result = await cloud("enqueue", "-q", "burst", "--", "true")
    assert "warning: no agent serves queue 'burst'" in result.err
    assert (await cloud("why", "--json")).json["waits_for"] == "no_agent"


async def test_one_in_a_terminal_counts_until_it_is_stopped(cloud: Any, jetstream_bus: Bus) -> None:
    client = Client(jetstream_bus)
    await client.stop_service("autoscaler", "cloud")
    journal = autoscaler_journal(client, "cloud")
    await journal.load()
    await journal.take(holder_of("pid7", 1))
    known = await cloud("enqueue", "-q", "burst", "--json", "--", "true")
    assert known.json["autoscaler"] == "cloud"
    why = (await cloud("why", "--json")).json
    words = "autoscaler cloud: wished are up to 1 small ("
    assert [one["ok"] for one in why["reasons"] if one["text"].startswith(words)] == [True]
    await cloud("autoscaler", "stop", "cloud")
    known = await cloud("enqueue", "-q", "burst", "--json", "--", "true")
    assert known.json["autoscaler"] is None


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_one_that_ends_in_its_terminal_counts_no_more(
    evq: Any, jetstream_bus: Bus, until: Any, number: int, status: int
) -> None:
    client = Client(jetstream_bus)
    (evq.cwd / "cloud.toml").write_text(WISH)

    async def in_force() -> list[str]:
        return [one.name for one in await autoscalers_for(client, "burst")]

    for _ in range(2):  # it goes on when it is run again
        async with evq.start("autoscaler", "run", "cloud.toml") as process:
            await until(in_force)
            process.send_signal(number)
            out, err = await process.communicate()
        assert (process.returncode, err) == (status, b""), out
        assert await in_force() == []
    (listed,) = (await evq("autoscaler", "ls", "--json")).json
    assert (listed["words"], listed["stopped"]) == ("it has ended in its terminal", False)
    known = await evq("enqueue", "-q", "burst", "--json", "--", "true")
    assert known.json["autoscaler"] is None


async def test_a_sweep_says_the_same(cloud: Any) -> None:
    (cloud.cwd / "sweep.toml").write_text(SWEEP)
    begun = await cloud("sweep", "run", "sweep.toml", "-d")
    assert begun.status == 0, begun.err
    assert "machine autoscaler cloud starts one for queue burst" in begun.err
    assert "so the sweep waits" not in begun.err


async def test_an_agent_that_takes_from_it_is_all_one_hears_of(cloud: Any, played: Any) -> None:
    await played.appear("burst")
    result = await cloud("enqueue", "-q", "burst", "--", "true")
    assert "cloud" not in result.err and "warning" not in result.err
    known = await cloud("enqueue", "-q", "burst", "--json", "--", "true")
    assert (known.json["served"], known.json["autoscaler"]) == (True, None)
