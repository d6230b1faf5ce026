"""The page of services: what they said last, and the tasks that they made, live."""

from __future__ import annotations

import re
from typing import Any

from playwright.async_api import expect

from evq.core.sdk.author import now
from evq.core.sdk.services import start_service
from evq.core.spec import After, Command, Spec
from evq.services.schedule.controller import CONTROLLER, open_journal
from evq.services.schedule.facts import Asked, Defined
from evq.services.schedule.when import Once


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
    # The page asks again when tasks have changed, and not when one of them says something.
    await apart.line(parent, "added two machines")
    child = await apart.enqueue("true", name="child one", parent=parent, queue="later")
    await apart.enqueue(
        "true", name="child two", parent=parent, queue="later", after=(After(child),)
    )
    cell = page.get_by_role("gridcell", name="added two machines: seven wait")
    await expect(cell).to_be_visible()
    await cell.click()
    await expect(page.get_by_text("scaler and 2 tasks")).to_be_visible()
    await expect(page).to_have_url(re.compile(f"task={parent}"))
    gate.open()
    await expect(page.get_by_role("gridcell", name="completed").first).to_be_visible()


async def test_what_a_schedule_decided_last_is_shown(
    apart: Any, start_agent: Any, own_nats_server: Any, page: Any, dashboard: Any
) -> None:
    await page.goto(dashboard.url + "/services")
    await expect(page.get_by_text("no service has decided anything").first).to_be_visible()
    options = ("--services", "--slots=3", "--allow-client", "--drain-timeout=0.1")
    queues = [type(apart)(apart.client, "services"), apart]
    start_agent(queues, *options, login=own_nats_server.login).ready()
    journal = open_journal(apart.client, "nightly")
    await journal.load()
    task = Spec(entry=Command(("true",)), name="n", queue=apart.name, manager="none")
    defined = Defined(when=Once(at=now() + 10**15, zone="UTC"), spec=task)
    await journal.decide(lambda _: (defined, "is defined"))
    await journal.decide(lambda _: (Asked("now"), "is to run now"))
    await start_service(apart.client, "schedule", CONTROLLER)
    cell = page.get_by_role("gridcell", name="enqueued task")
    await expect(cell).to_contain_text("; next 20")
