"""The SQL page: ask, see rows and a chart, share the address, save, and be refused in words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
from playwright.async_api import expect
from projecting import caught_up


async def test_a_query_is_asked_and_shared(apart: Any, page: Any, dashboard: Any) -> None:
    for _ in range(3):
        await apart.enqueue("true")
    await caught_up(apart.client)
    query = "select queue, count(*) as n from tasks group by queue"
    await page.goto(f"{dashboard.url}/sql?query={query.replace(' ', '%20')}")
    await expect(page.get_by_text("1 row", exact=True)).to_be_visible()
    await expect(page.get_by_role("gridcell", name="3", exact=True)).to_be_visible()
    await expect(page.locator("canvas").first).to_be_visible()
    await expect(page).to_have_url(re.compile("query=select"))


async def test_a_query_is_chosen_by_its_name(apart: Any, page: Any, dashboard: Any) -> None:
    await apart.enqueue("true")
    await caught_up(apart.client)
    await page.goto(f"{dashboard.url}/sql?name=long-waiting")
    await expect(page.get_by_text("1 row", exact=True)).to_be_visible()
    await expect(page.get_by_role("textbox", name="limit")).to_be_visible()
    await expect(page).to_have_url(re.compile("name=long"))


async def test_a_wrong_query_is_refused_in_words(page: Any, dashboard: Any) -> None:
    await page.goto(f"{dashboard.url}/sql?query=select%20nothing%20from%20tasks")
    await expect(page.get_by_text("the query cannot be carried out")).to_be_visible()
    await expect(page.get_by_text("nothing").first).to_be_visible()


async def test_the_answer_leaves_as_a_parquet_file(
    apart: Any, page: Any, dashboard: Any, tmp_path: Path
) -> None:
    tasks = [await apart.enqueue("true") for _ in range(3)]
    await caught_up(apart.client)
    await page.goto(f"{dashboard.url}/sql?query=select%20task,%20enqueued%20from%20tasks")
    async with page.expect_download() as coming:
        await page.get_by_role("button", name="Parquet").click()
    download = await coming.value
    assert download.suggested_filename == "evq.parquet"
    await download.save_as(tmp_path / "evq.parquet")
    found = duckdb.read_parquet(str(tmp_path / "evq.parquet"))
    assert sorted(task for (task,) in found.select("task").fetchall()) == sorted(tasks)
    assert [str(kind) for kind in found.types] == ["VARCHAR", "TIMESTAMP"]

    await page.goto(f"{dashboard.url}/sql?name=long-waiting")
    async with page.expect_download() as coming:
        await page.get_by_role("button", name="Parquet").click()
    await (await coming.value).save_as(tmp_path / "named.parquet")
    assert len(duckdb.read_parquet(str(tmp_path / "named.parquet")).fetchall()) == 3
