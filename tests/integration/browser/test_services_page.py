"""The page of services: what they said last, and the tasks that they made, live."""

from __future__ import annotations

from typing import Any

from playwright.async_api import expect

from evq.core.spec import After


async def test_a_service_and_its_family_are_shown_live(
    apart: Any, start_agent: Any, own_nats_server: Any, page: Any, dashboard: Any, gates: Any
) -> None:
    await page.goto(dashboard.url + "/services")
    await expect(page.get_by_text("no service runs").first).to_be_visible()
    (gate,) = gates(1)
    start_agent([apart], "--services", login=own_nats_server.login).ready()
    script = f"echo 'added two machines: seven wait'; {gate.wait}"
    parent = await apart.enqueue("sh", "-c", script, name="scaler")
    await gate.reached()
    child = await apart.enqueue("true", name="child one", parent=parent, queue="later")
    await apart.enqueue(
        "true", name="child two", parent=parent, queue="later", after=(After(child),)
    )
    cell = page.get_by_role("gridcell", name="added two machines: seven wait")
    await expect(cell).to_be_visible(timeout=20_000)
    await cell.click()
    await expect(page.get_by_text("scaler and 2 tasks")).to_be_visible()
    assert f"task={parent}" in page.url
    gate.open()
    await expect(page.get_by_role("gridcell", name="completed").first).to_be_visible()
