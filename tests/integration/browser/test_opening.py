"""The dashboard opens in a real browser, with nothing from elsewhere."""

from __future__ import annotations

import signal
from typing import Any

from playwright.async_api import expect


async def test_the_first_page_shows_the_queues(apart: Any, page: Any, dashboard: Any) -> None:
    await apart.enqueue("true")
    await page.goto(dashboard.url + "/")
    await expect(page).to_have_title("Workers & Queues · evq")
    await expect(page.get_by_role("link", name=apart.name, exact=True).first).to_be_visible()


async def test_a_page_says_that_the_projector_is_away_and_back(page: Any, dashboard: Any) -> None:
    await page.goto(dashboard.url + "/")
    status = page.locator(".evq-freshness")
    await expect(status).to_have_text("live")
    dashboard.projector.end(signal.SIGKILL)
    await expect(status).to_contain_text("no projector answers", timeout=30_000)
    await dashboard.projector.start()
    await expect(status).to_have_text("live", timeout=30_000)
