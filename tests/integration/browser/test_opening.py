"""The dashboard opens in a real browser, with nothing from elsewhere."""

from __future__ import annotations

from typing import Any

from playwright.async_api import expect


async def test_the_first_page_shows_the_queues(apart: Any, page: Any, dashboard: Any) -> None:
    await apart.enqueue("true")
    await page.goto(dashboard.url + "/")
    await expect(page).to_have_title("Workers & Queues · evq")
    await expect(page.get_by_role("link", name=apart.name, exact=True).first).to_be_visible()
