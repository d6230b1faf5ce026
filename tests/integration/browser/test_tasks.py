"""Tasks, a task and comparisons in a real browser: they move by themselves."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

from lab import NOTHING, Lab
from playwright.async_api import Locator, Page, expect
from projecting import caught_up

from evq.core import subjects, wire
from evq.core.events import Aborted, Started
from evq.core.sdk.author import Author
from evq.core.spec import Command, Spec
from evq.services.clean import carrying
from evq.services.clean.policy import Policy, Rule

ACTOR = Author().by
"""Who comes with the link."""

STAYS = "window.opened = true"


def row(page: Page, task: str) -> Locator:
    """A task's row in the list."""
    return page.locator(".evq-tasks tbody tr", has_text=task)


async def ask(page: Page, text: str) -> None:
    """Type into the query box."""
    await page.locator("input.evq-query, .evq-query input").first.fill(text)


async def test_a_task_s_state_changes_in_the_list_and_on_its_page(
    apart: Any, page: Any, dashboard: Any, start_agent: Any, own_nats_server: Any, gate: Any
) -> None:
    task = await apart.enqueue("sh", "-c", gate.wait, name="seen")
    await page.goto(dashboard.url + "/tasks")
    await page.evaluate(STAYS)
    await expect(row(page, task)).to_contain_text("queued")
    other = await page.context.new_page()
    await other.goto(f"{dashboard.url}/tasks/{task}")
    await other.evaluate(STAYS)
    await expect(other.locator(".evq-sentence")).to_contain_text("queued for")
    start_agent([apart], login=own_nats_server.login).ready()
    await gate.reached()
    await expect(row(page, task)).to_contain_text("running")
    await expect(other.locator(".evq-sentence")).to_contain_text("running on")
    await expect(other.locator(".evq-timeline")).to_contain_text("running")
    gate.open()
    await expect(row(page, task)).to_contain_text("completed")
    await expect(other.locator(".evq-sentence")).to_contain_text("completed")
    assert await page.evaluate("window.opened") is True
    assert await other.evaluate("window.opened") is True


async def test_a_log_moves_while_the_projector_is_dead_and_is_searched_when_it_is_back(
    apart: Any, page: Any, dashboard: Any, start_agent: Any, own_nats_server: Any, gate: Any
) -> None:
    script = f"echo first; echo oops >&2; {gate.wait}; printf '\\033[31mred\\033[0m <b>x</b>\\n'"
    task = await apart.enqueue("sh", "-c", script)
    start_agent([apart], login=own_nats_server.login).ready()
    await gate.reached()
    await page.goto(f"{dashboard.url}/tasks/{task}")
    log = page.locator(".evq-log")
    await expect(log).to_contain_text("first")
    dashboard.projector.end(signal.SIGKILL)
    gate.open()
    await expect(log).to_contain_text("red <b>x</b>")
    await expect(log.locator(".fg-red")).to_have_text("red")
    await dashboard.projector.start()
    await caught_up(apart.client)
    search = page.get_by_placeholder("search the log")
    await search.fill("OOPS")
    await expect(log.locator(".evq-line")).to_have_count(1)
    await expect(log.locator(".evq-hit")).to_have_text("oops")
    await expect(page).to_have_url(re.compile("q=OOPS"))
    await search.fill("")
    await expect(log).to_contain_text("first")
    await page.goto(f"{dashboard.url}/tasks/{task}?show=stdout")
    await expect(log).to_contain_text("first")
    await expect(log).not_to_contain_text("oops")


LAST_POINTS = """() => {
    const chart = document.querySelector(".evq-curves-chart");
    if (!chart) return [];
    const drawn = getElement(Number(chart.id.slice(1))).chart?.getOption();
    return (drawn?.series ?? []).filter((one) => one.id.startsWith("v"))
        .map((one) => [one.name, one.data.at(-1)[1], one.data.length]);
}"""
"""Each curve that is drawn, with its last value and its length."""


async def test_a_curve_moves(
    apart: Any, page: Any, dashboard: Any, start_agent: Any, own_nats_server: Any, gate: Any
) -> None:
    said = "import evq; evq.log({'loss': %s}, step=%d)"
    first, second = said % ("2.5", 1), said % ("1.5", 2)
    script = f'python3 -c "{first}"; {gate.wait}; python3 -c "{second}"; sleep 60'
    task = await apart.enqueue("sh", "-c", script)
    never = ("--report-every", "0", "--drain-timeout=0.1")
    start_agent([apart], *never, login=own_nats_server.login).ready()
    await gate.reached()
    await page.goto(f"{dashboard.url}/tasks/{task}?tab=curves")
    await page.wait_for_function(
        f"() => JSON.stringify(({LAST_POINTS})()) === '[[\"loss\",2.5,1]]'"
    )
    gate.open()
    await page.wait_for_function(
        f"() => JSON.stringify(({LAST_POINTS})()) === '[[\"loss\",1.5,2]]'"
    )


async def test_curves_that_were_removed_are_spoken_of(
    apart: Any, page: Any, dashboard: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(carrying, "SETTLE", 0.0)
    lab = Lab(apart.client, tmp_path)
    task = await lab.task()
    await lab.clean(Policy((Rule(("metrics",), older=0.0),), min_age=0.0))
    assert await lab.ends_with(task, NOTHING | {"logs": True})
    await page.goto(f"{dashboard.url}/tasks/{task.id}?tab=curves")
    gone = page.locator(".evq-curves-gone")
    await expect(gone).to_contain_text("metrics were removed on")
    await expect(gone).to_contain_text("test, rule 1: metrics, older than 0s")
    await expect(gone).to_contain_text("loss: last 2, smallest 1, largest 3")
    await expect(page.locator(".evq-curves-chart")).to_have_count(0)
    # Those of a later attempt are drawn below these words.
    await lab.client.retry(task.id)
    await lab.live(task.id)
    await page.wait_for_function(f"() => JSON.stringify(({LAST_POINTS})()) === '[[\"loss\",2,3]]'")
    await expect(gone).to_contain_text("metrics were removed on")


async def test_the_curves_of_the_machine_move(
    apart: Any, page: Any, dashboard: Any, start_agent: Any, own_nats_server: Any
) -> None:
    task = await apart.enqueue("sleep", "600")
    often = ("--sample-every", "0.1", "--report-every", "0.5", "--drain-timeout=0.1")
    start_agent([apart], *often, login=own_nats_server.login).ready()
    await apart.event(task, Started)
    await page.goto(f"{dashboard.url}/tasks/{task}?tab=curves")
    memory = f"(({LAST_POINTS})().find(([name]) => name === 'memory') ?? [0, 0, 0])"
    await page.wait_for_function(f"() => {memory}[2] > 0")
    first = await page.evaluate(f"() => {memory}[2]")
    # What comes while no projector answers comes from the agent itself.
    dashboard.projector.end(signal.SIGKILL)
    await page.wait_for_function(f"() => {memory}[2] > {first + 4}")
    await dashboard.projector.start()


async def test_a_progress_bar_is_one_line(
    apart: Any, page: Any, dashboard: Any, start_agent: Any, own_nats_server: Any
) -> None:
    bars = "".join(f"echo 'epoch: {n}0%|## | {n}/10 [00:0{n}<00:09]'; " for n in range(1, 6))
    task = await apart.enqueue("sh", "-c", f"echo begin; {bars} echo end")
    start_agent([apart], login=own_nats_server.login).ready()
    await apart.ended(task)
    await page.goto(f"{dashboard.url}/tasks/{task}?show=stdout")
    lines = page.locator(".evq-log .evq-text")
    await expect(lines).to_have_text(["begin", "epoch: 50%|## | 5/10 [00:05<00:09]", "end"])


async def test_a_condition_filters_and_a_hostile_one_is_refused(
    apart: Any, page: Any, dashboard: Any
) -> None:
    one = await apart.enqueue("true", name="one", tags=("paper",))
    two = await apart.enqueue("true", name="two")
    await page.goto(dashboard.url + "/tasks")
    await expect(row(page, one)).to_be_visible()
    await ask(page, "name = 'two' OR 'x' in tags")
    await expect(row(page, one)).to_have_count(0)
    await expect(row(page, two)).to_be_visible()
    await expect(page).to_have_url(re.compile("q=name"))
    await ask(page, "name in (select task from events)")
    error = page.locator(".evq-query-error")
    await expect(error).to_contain_text("a query inside cannot stand in it")
    await ask(page, "paper")
    await expect(error).to_have_text("")
    await expect(row(page, one)).to_be_visible()
    await expect(row(page, two)).to_have_count(0)


async def test_several_are_aborted_for_a_reason(apart: Any, page: Any, dashboard: Any) -> None:
    tasks = [await apart.enqueue("true") for _ in range(3)]
    await page.goto(dashboard.url + "/tasks")
    for task in tasks[:2]:
        await row(page, task).locator(".q-checkbox").click()
    await page.locator(".evq-bulk-abort").click()
    await page.get_by_role("dialog").get_by_role("textbox").fill("wrong data")
    await page.get_by_role("dialog").get_by_role("button", name="Abort").click()
    for task in tasks[:2]:
        await expect(row(page, task)).to_contain_text("aborted")
        history = await apart.client.bus.log.history(subjects.lifecycle("q", task))
        (said,) = [wire.decode(stored.data) for stored in history]
        assert isinstance(said.event, Aborted)
        assert (said.by, said.event.reason) == (ACTOR, "wrong data")
    await expect(row(page, tasks[2])).to_contain_text("queued")


async def test_a_comparison_shows_what_differs(apart: Any, page: Any, dashboard: Any) -> None:
    tasks = [await apart.enqueue("true", name="same", params={"lr": lr}) for lr in ("0.1", "0.2")]
    await page.goto(f"{dashboard.url}/compare?tasks={','.join(tasks)}")
    table = page.locator(".evq-differences")
    await expect(table).to_contain_text("lr")
    await expect(table).to_contain_text("0.2")
    await expect(table).not_to_contain_text("priority")
    await page.locator(".evq-all").click()
    await expect(table).to_contain_text("priority")


async def test_several_are_tagged_and_archived_and_both_undone(
    apart: Any, page: Any, dashboard: Any
) -> None:
    tasks = [await apart.enqueue("true", tags=("draft",)) for _ in range(2)]
    await apart.client.abort(tasks[0], "not needed")
    await page.goto(dashboard.url + "/tasks")
    for task in tasks:
        await row(page, task).locator(".q-checkbox").click()
    await page.locator(".evq-bulk-tag").click()
    await page.get_by_role("dialog").get_by_label("Add, with commas between").fill("paper, best")
    await page.get_by_role("dialog").get_by_role("button", name="Tag").click()
    for task in tasks:
        await expect(row(page, task)).to_contain_text("draft paper best")
    await page.get_by_role("button", name="Undo").click()
    for task in tasks:
        await expect(row(page, task)).not_to_contain_text("paper")

    await row(page, tasks[1]).locator(".q-checkbox").click()
    await page.locator(".evq-bulk-archive").click()
    await page.get_by_role("dialog").get_by_role("textbox").fill("done with")
    await page.get_by_role("dialog").get_by_role("button", name="Archive").click()
    await expect(row(page, tasks[0])).to_have_count(0)
    await expect(row(page, tasks[1])).to_be_visible()
    assert (await apart.client.get(tasks[0])).archived.by == ACTOR
    # It is offered for ten seconds: what takes longer comes later.
    await page.get_by_role("button", name="Undo").click()
    await expect(row(page, tasks[0])).to_be_visible()

    await page.goto(f"{dashboard.url}/tasks/{tasks[0]}")
    await page.get_by_role("button", name="archive", exact=True).click()
    await page.get_by_role("dialog").get_by_role("button", name="Archive").click()
    await expect(page.get_by_role("button", name="unarchive", exact=True)).to_be_visible()
    await page.goto(dashboard.url + "/tasks")
    await expect(row(page, tasks[1])).to_be_visible()
    await expect(row(page, tasks[0])).to_have_count(0)
    await page.locator(".evq-archive").click()
    await expect(row(page, tasks[0])).to_be_visible()
    await expect(row(page, tasks[1])).to_have_count(0)
    await expect(page).to_have_url(re.compile("archived=1"))


async def test_on_a_phone_a_button_opens_the_facets(apart: Any, page: Any, dashboard: Any) -> None:
    one = await apart.enqueue("true")
    await page.set_viewport_size({"width": 390, "height": 800})
    await page.goto(dashboard.url + "/tasks")
    await expect(row(page, one)).to_be_visible()
    facet = page.locator(".evq-facet-state")
    await expect(facet).to_be_hidden()
    await page.get_by_role("button", name="filters").click()
    await facet.filter(has_text="queued").click()
    await expect(page).to_have_url(re.compile("state=queued"))
    await page.get_by_role("button", name="filters").click()
    await expect(facet).to_be_hidden()


async def test_a_family_is_linked(apart: Any, page: Any, dashboard: Any) -> None:
    parent = await apart.enqueue("true")
    child = await apart.enqueue("true", name="the child", parent=parent)
    await page.goto(f"{dashboard.url}/tasks/{parent}?tab=parameters")
    await expect(page.locator(".evq-child")).to_have_text(child)
    await page.locator(".evq-child").click()
    await page.locator(".evq-tab-parameters").click()
    await expect(page.locator(".evq-parent")).to_have_text(parent)


async def test_the_members_of_an_array_are_found(apart: Any, page: Any, dashboard: Any) -> None:
    spec = Spec(entry=Command(("true",)), name="seed {index}", queue="q")
    receipt = await apart.client.enqueue_array(spec, range(3), 2)
    alone = await apart.enqueue("true")
    await page.goto(f"{dashboard.url}/tasks/{receipt.tasks[2]}")
    await expect(page.locator(".evq-sentence")).to_contain_text("until its turn comes")
    await page.locator(".evq-array").click()
    for task in receipt.tasks:
        await expect(row(page, task)).to_be_visible()
    await expect(row(page, alone)).to_have_count(0)
    await expect(page.locator(".evq-facet-array")).to_contain_text(receipt.array)
