"""Sweeps on the page of services: what they have decided, live, and one with its pictures."""

from __future__ import annotations

import re
from typing import Any

from playwright.async_api import expect

from evq.core.spec import Script, Spec
from evq.services.sweep.controller import open_journal
from evq.services.sweep.definition import make_definition
from evq.services.sweep.facts import Created, Fact, Finished, Proposed, TrialEnded, Weighed

PLAN = make_definition(
    {"run": "train.py", "space": {"lr": [0.1, 0.2]}, "objective": {"metric": "loss"}, "trials": 3}
)


async def test_a_sweep_is_shown_with_its_trials(apart: Any, page: Any, dashboard: Any) -> None:
    journal = open_journal(apart.client, "first")
    await journal.load()

    async def tell(fact: Fact, words: str) -> None:
        await journal.decide(lambda _: (fact, words))

    await tell(Created(PLAN, Spec(entry=Script("train.py"), name="t", queue="q")), "begins")
    await tell(Proposed(number=0, task="t0", params={"lr": 0.1}), "trial 0: lr=0.1")
    await tell(TrialEnded(number=0, state="complete", values=(0.5,)), "trial 0 is complete: loss")
    await tell(Proposed(number=1, task="t1", params={"lr": 0.2}), "trial 1: lr=0.2")
    await tell(Weighed({"lr": 1.0}), "lr matters most")
    await page.goto(dashboard.url + "/services")
    # What each service decided last stands above, with its name, too.
    await page.locator(".evq-sweeps").get_by_role("gridcell", name="first").first.click()
    await expect(page.get_by_text("first: minimize loss")).to_be_visible()
    await expect(page).to_have_url(re.compile("sweep=first"))
    await expect(
        page.get_by_role("gridcell", name="trial 0 is complete: loss").last
    ).to_be_visible()
    await expect(page.get_by_role("gridcell", name="running").last).to_be_visible()
    await tell(TrialEnded(number=1, state="pruned"), "trial 1 was pruned at step 3")
    await tell(Finished(), "all is done")
    # The page asks again when a task has changed.
    await apart.enqueue("true")
    await expect(
        page.get_by_role("gridcell", name="trial 1 was pruned at step 3").last
    ).to_be_visible()
    await expect(page.get_by_role("gridcell", name="finished").last).to_be_visible()
