"""Controllers as tasks: one for each name, started again after a crash, ended when told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from evq.core.errors import Conflict, NotFound
from evq.core.events import Retry
from evq.core.sdk.services import service, services, start_service, stop_service


async def test_two_who_start_it_have_started_one(apart: Any) -> None:
    client = apart.client
    first, second = await asyncio.gather(*(start_service(client, "none", "a") for _ in range(2)))
    assert first.task.id == second.task.id and first.runs
    assert (await start_service(client, "none", "a")).task.id == first.task.id
    assert (await start_service(client, "none", "b")).task.id != first.task.id
    assert [one.name for one in await services(client, "none")] == ["a", "b"]
    assert await services(client, "other") == []


async def test_one_that_was_stopped_can_be_started_anew(apart: Any) -> None:
    client = apart.client
    first = await start_service(client, "none", "a")
    stopped = await stop_service(client, "none", "a", "enough")
    assert stopped.task.id == first.task.id and not stopped.runs
    with pytest.raises(Conflict, match="none a does not run"):
        await stop_service(client, "none", "a", "again")
    second = await start_service(client, "none", "a", params={"rate": "2"})
    assert second.task.id != first.task.id and second.task.spec.params == {"rate": "2"}
    assert (await service(client, "none", "a")).task.id == second.task.id
    with pytest.raises(NotFound, match="there is no none c"):
        await stop_service(client, "none", "c", "what was not there")


async def test_one_that_crashes_runs_again(
    apart: Any, start_agent: Any, own_nats_server: Any
) -> None:
    served = type(apart)(apart.client, "services")
    start_agent([served], "--services", "--allow-client", login=own_nats_server.login).ready()
    started = await start_service(apart.client, "none", "a")
    # There is no such module, which is as good a crash as any.
    again = await served.event(started.task.id, Retry, 2)
    assert again.cause == "code" and again.delay == 2.0
    assert "No module named" in again.evidence and "evq.services.none" in again.evidence
    await stop_service(apart.client, "none", "a", "enough")
    assert (await served.ended(started.task.id)).name_of_state == "aborted"


async def test_a_name_that_is_none_is_refused(apart: Any) -> None:
    with pytest.raises(Exception, match="service"):
        await start_service(apart.client, "none", "no name at all")
    assert await apart.client.bus.log.history("evq.q.services.*.*.*") == []
