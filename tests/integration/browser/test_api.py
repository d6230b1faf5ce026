"""The dashboard's JSON, its stream of events and its figures for Prometheus."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest
from projecting import caught_up
from prometheus_client.parser import text_string_to_metric_families

from evq.core.events import Aborted
from evq.core.sdk.viewers import Role, Viewers


@pytest.fixture
async def api(dashboard: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A program that has the local token."""
    token = dashboard.link.partition("token=")[2]
    bearer = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        base_url=dashboard.url + "/api", headers=bearer, timeout=30
    ) as web:
        yield web


async def test_what_there_is(api: Any, apart: Any, until: Any) -> None:
    task = await apart.enqueue("sh", "-c", "echo hello")

    async def in_line() -> Any:
        return [row["id"] for row in (await api.get("/queues/q/line")).json()]

    await until(in_line)
    assert await in_line() == [task]
    (queue,) = (await api.get("/queues")).json()
    assert (queue["name"], queue["queued"]) == ("q", 1)
    fleet = (await api.get("/fleet")).json()
    assert fleet["connected"] and fleet["queues"] == [queue] and fleet["agents"] == []
    await caught_up(apart.client)
    (row,) = (await api.get("/tasks", params={"state": "queued"})).json()["rows"]
    assert row["task"] == task
    assert (await api.get("/tasks", params={"state": "running"})).json()["rows"] == []
    whole = (await api.get(f"/tasks/{task[:6]}")).json()
    assert whole["id"] == task and whole["spec"]["queue"] == "q"
    why = (await api.get(f"/tasks/{task}/why")).json()
    assert "no agent serves queue q" in why["waits"] and why["position"] == 1
    (event,) = (await api.get(f"/tasks/{task}/events")).json()["rows"]
    assert event["kind"] == "enqueued"
    for _ in range(60):
        await apart.enqueue("true")

    async def all_of_it() -> bool:
        line = (await api.get("/queues/q/line", params={"limit": 100})).json()
        return len(line) == 61

    await until(all_of_it)
    for path in (f"/tasks/{task}/logs", f"/tasks/{task}/metrics", "/gpus", "/events", "/status"):
        assert (await api.get(path)).status_code == 200, path


async def test_what_somebody_does_is_recorded_under_their_name(
    api: Any, apart: Any, tmp_path: Path, dashboard: Any
) -> None:
    viewers = Viewers(tmp_path / "dashboard")
    ada, eve = viewers.add("ada", Role.OPERATOR), viewers.add("eve", Role.VIEWER)
    task = await apart.enqueue("true")
    why = {"reason": "not needed"}
    path = f"/tasks/{task}/abort"
    refused = await api.post(path, json=why, headers={"authorization": f"Bearer {eve}"})
    assert refused.status_code == 403 and refused.json()["code"] == "E05"
    done = await api.post(path, json=why, headers={"authorization": f"Bearer {ada}"})
    assert done.json() == {"done": "aborted"}
    event = await apart.event(task, Aborted)
    assert event.reason == "not needed"
    await caught_up(apart.client)
    rows = (await api.get(f"/tasks/{task}/events")).json()["rows"]
    assert [row["by"] for row in rows if row["kind"] == "aborted"] == ["ada"]

    again = await api.post(path, json=why)
    assert again.status_code == 409 and again.json()["what"]
    tagged = await api.post(f"/tasks/{task}/tag", json={"add": ["paper"], "remove": ["none"]})
    assert tagged.json() == {"done": "tagged paper"}
    assert (await api.post(f"/tasks/{task}/archive", json=why)).json() == {"done": "archived"}
    await caught_up(apart.client)
    assert (await api.get("/tasks")).json()["rows"] == []
    (row,) = (await api.get("/tasks", params={"archived": True})).json()["rows"]
    assert (row["task"], row["tags"]) == (task, ["paper"])
    assert (await api.post(f"/tasks/{task}/unarchive", json=why)).json()["done"] == "not archived"
    assert (await api.post(f"/tasks/{task}/retry", json={})).status_code == 200
    assert (await api.post("/queues/q/pause", json=why)).json() == {"done": "paused"}
    assert (await api.post("/queues/q/resume", json=why)).json() == {"done": "open"}
    other = await apart.enqueue("true")
    moved = await api.post(f"/tasks/{other}/move", json={"to": "front"})
    assert moved.json() == {"done": "at place 1 of q"}
    assert (await api.post("/workers/nobody/drain", json={})).status_code == 400


async def test_a_wrong_request_is_told_so_in_our_words(api: Any) -> None:
    for path, status, word in (
        ("/tasks/nothing", 400, "is no task"),
        ("/workers/nobody", 404, "no agent nobody"),
        ("/tasks?limit=0", 400, "limit"),
        ("/tasks?state=odd", 400, "state"),
        ("/questions/wait-percentiles?by=odd", 400, "by"),
        ("/questions/no-such-thing", 404, "no query"),
    ):
        answer = await api.get(path)
        assert answer.status_code == status, answer.text
        assert word in answer.json()["what"] + answer.json()["why"]
    answer = await api.post("/sql", json={"text": "selec 1"})
    assert answer.status_code == 422 and answer.json()["code"] == "E40"


async def test_sql_as_a_parquet_file(api: Any, apart: Any, tmp_path: Path) -> None:
    task = await apart.enqueue("true")
    await caught_up(apart.client)
    query = {"text": "select task from tasks", "format": "parquet"}
    answer = await api.post("/sql", json=query)
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    (tmp_path / "file").write_bytes(answer.content)
    assert duckdb.read_parquet(str(tmp_path / "file")).fetchall() == [(task,)]
    refused = await api.post("/sql", json=query | {"text": "select nothing from tasks"})
    assert refused.status_code == 422 and refused.json()["code"] == "E40"


async def test_questions_and_sql(api: Any, apart: Any) -> None:
    await apart.enqueue("true")
    await caught_up(apart.client)
    answer = (await api.get("/questions/long-waiting", params={"queue": "q"})).json()
    assert len(answer["rows"]) == 1
    text = "select queue, count(*) as n from tasks where queue = $queue group by queue"
    answer = (await api.post("/sql", json={"text": text, "params": {"queue": "q"}})).json()
    assert answer["rows"] == [{"queue": "q", "n": 1}]
    described = (await api.get("/openapi.json")).json()
    route = described["paths"]["/questions/wait-percentiles"]["get"]
    by = next(one for one in route["parameters"] if one["name"] == "by")
    assert "queue" in by["schema"]["enum"] and by["description"] and route["summary"]


async def test_the_log_is_followed_without_a_gap(api: Any, apart: Any) -> None:
    first = await apart.enqueue("true")
    seen: list[tuple[int, str]] = []

    async def read(count: int, **headers: str) -> None:
        async with api.stream("GET", "/events/stream?after=0", headers=headers) as answer:
            seq = 0
            async for line in answer.aiter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    seq = int(value)
                if name == "data" and "enqueued" in value:
                    seen.append((seq, json.loads(value)["subject"].split(".")[-1]))
                    if len(seen) == count:
                        return

    await asyncio.wait_for(read(1), 30)
    second = await apart.enqueue("true")
    third = await apart.enqueue("true")
    await asyncio.wait_for(read(3, **{"last-event-id": str(seen[0][0])}), 30)
    assert [task for _, task in seen] == [first, second, third]


async def test_prometheus_reads_the_figures(api: Any, apart: Any, until: Any) -> None:
    await apart.enqueue("true")
    base = str(api.base_url).removesuffix("/api/")

    async def figures() -> dict[tuple[str, str], float]:
        answer = await api.get(f"{base}/metrics")
        return {
            (sample.name, ",".join(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }

    async def queued() -> bool:
        return (await figures()).get(("evq_tasks", "q,queued")) == 1

    await until(queued)
    found = await figures()
    assert found["evq_connected", ""] == 1
    assert found["evq_tasks_ended_total", "failed,q"] == 0
    assert ("evq_queue_oldest_seconds", "q") in found
