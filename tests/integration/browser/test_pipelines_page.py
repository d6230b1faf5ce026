"""Pipelines on the page of services: the runs there were, and the graph of one, live."""

from __future__ import annotations

import re
from typing import Any

from playwright.async_api import expect

from evq.services.pipeline.definition import define
from evq.services.pipeline.facts import Created, Plan, Planned, Result, RunEnded, Settled
from evq.services.pipeline.graph import graph
from evq.services.pipeline.journals import create


async def test_a_run_is_drawn_as_it_goes_on(apart: Any, page: Any, dashboard: Any) -> None:
    steps = {
        "prepare": {"command": ["true"]},
        "train": {"command": ["true"], "each": [1, 2], "after": ["prepare"]},
    }
    definition = define({"name": "digits", "steps": steps}, "digits")
    journal = await create(apart.client, Created(definition, edges=graph(definition).parents))
    await page.goto(dashboard.url + "/services")
    # Its last decision stands in another grid, above.
    await page.locator(".evq-pipelines").get_by_role("gridcell", name="digits-1").first.click()
    await expect(page.get_by_text("Run digits-1")).to_be_visible()
    await expect(page).to_have_url(re.compile("run=digits-1"))

    task = "0123456789ab"
    plans = tuple(Plan(name, task) for name in ("train[0]", "train[1]"))
    results = (
        Result(part="prepare", outcome="completed", task=task, reused=True),
        Result(part="train[0]", outcome="failed", task=task, evidence="no data there"),
        Result(part="train[1]", outcome="completed", task=task),
    )
    for fact, words in (
        (Planned(plans), "train[0], train[1] begin"),
        (Settled(results), "all: over"),
        (RunEnded("failed", "train[0] failed"), "the run has failed"),
    ):
        await journal.decide(lambda _, fact=fact, words=words: (fact, words))
    # What tasks do wakes the page; what is decided comes with it.
    await apart.enqueue("true", queue="later")
    await expect(page.get_by_role("gridcell", name="no data there")).to_be_visible()
    await expect(page.get_by_role("gridcell", name="cached")).to_be_visible()
    await expect(page.get_by_role("gridcell", name="the run has failed").last).to_be_visible()
    canvas = page.locator(".evq-pipeline-graph canvas")
    await expect(canvas).to_be_visible()
