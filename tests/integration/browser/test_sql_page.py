"""The SQL page: ask, see rows and a chart, share the address, save, and be refused in words."""

from __future__ import annotations

from typing import Any

from playwright.async_api import expect


async def test_a_query_is_asked_and_shared(apart: Any, page: Any, dashboard: Any) -> None:
    for _ in range(3):
        await apart.enqueue("true")
    query = "select queue, count(*) as n from tasks group by queue"
    await page.goto(f"{dashboard.url}/sql?query={query.replace(' ', '%20')}")
    await expect(page.get_by_text("1 row", exact=True)).to_be_visible()
    await expect(page.get_by_role("gridcell", name="3", exact=True)).to_be_visible()
    await expect(page.locator("canvas").first).to_be_visible()
    assert "query=select" in page.url


async def test_a_query_is_chosen_by_its_name(apart: Any, page: Any, dashboard: Any) -> None:
    await apart.enqueue("true")
    await page.goto(f"{dashboard.url}/sql?name=long-waiting")
    await expect(page.get_by_text("1 row", exact=True)).to_be_visible()
    await expect(page.get_by_role("textbox", name="limit")).to_be_visible()
    assert "name=long" in page.url


async def test_a_wrong_query_is_refused_in_words(page: Any, dashboard: Any) -> None:
    await page.goto(f"{dashboard.url}/sql?query=select%20nothing%20from%20tasks")
    await expect(page.get_by_text("the query cannot be carried out")).to_be_visible()
    await expect(page.get_by_text("nothing").first).to_be_visible()
