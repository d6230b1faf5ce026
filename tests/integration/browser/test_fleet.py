"""Workers & Queues in a real browser: it moves by itself, and what is done there is done."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import waiting
from playwright.async_api import Locator, Page, expect

from evq.core import subjects, wire
from evq.core.events import DrainRequested, Moved, ResumeRequested, Started
from evq.core.queueing.queues import QueuePaused, QueueResumed
from evq.core.sdk.author import Author, now

ACTOR = Author().by
"""Who comes with the link."""

STAYS = "window.opened = true"

PLACED = "(cells) => cells.map((cell) => [cell.getBoundingClientRect().y, cell.innerText])"


async def rows(grid: Locator, column: str) -> list[str]:
    """What stands in a column of a grid, from top to bottom."""
    cells = grid.locator(f'[col-id="{column}"].ag-cell')
    # At one moment: a row that was counted may be gone before it is read.
    placed = await cells.evaluate_all(PLACED)
    return [text for _, text in sorted(placed, key=lambda one: one[0])]


def tile(page: Page, key: str) -> Locator:
    return page.locator(f".evq-tile-{key}")


def cell(page: Page, grid: str, row: str, column: str) -> Locator:
    """A cell of the row with this key."""
    return page.locator(f'.evq-{grid} [row-id="{row}"] [col-id="{column}"]')


async def known(page: Page, grid: str, row: str) -> None:
    """Return when the overview, which the page shows first, has a queue or a worker: before that it
    can neither be chosen nor has it a page of its own."""
    await expect(page.locator(f'.evq-{grid} [row-id="{row}"]').first).to_be_visible()


async def said(queue: Any, subject: str, kind: Any) -> list[Any]:
    """The envelopes with events of a kind under a subject, as soon as there is one."""

    async def found() -> list[Any]:
        history = await queue.client.bus.log.history(subject)
        envelopes = [wire.decode(stored.data) for stored in history]
        return [one for one in envelopes if isinstance(getattr(one, "event", None), kind)]

    return await waiting.until(found)


async def test_a_task_is_seen_from_its_queue_to_its_end(
    apart: Any, page: Any, dashboard: Any, start_agent: Any, own_nats_server: Any, gate: Any
) -> None:
    await page.goto(dashboard.url + "/")
    await page.evaluate(STAYS)
    task = await apart.enqueue("sh", "-c", gate.wait, name="seen")
    await expect(tile(page, "tasks-wait")).to_have_text("1")
    await expect(cell(page, "queues", "q", "next")).to_have_text(f"{task} seen")
    await expect(cell(page, "queues", "q", "reason")).to_contain_text("no agent")
    agent = start_agent([apart], login=own_nats_server.login).ready()
    await gate.reached()
    await expect(tile(page, "tasks-run")).to_have_text("1")
    await expect(tile(page, "tasks-wait")).to_have_text("0")
    await expect(cell(page, "workers", agent.name, "state")).to_have_text("● busy")
    await expect(cell(page, "workers", agent.name, "runs")).to_contain_text(f"{task}")
    gate.open()
    await expect(tile(page, "tasks-run")).to_have_text("0")
    await expect(cell(page, "workers", agent.name, "state")).to_have_text("○ idle")
    await expect(page.locator(".evq-lately")).to_contain_text("completed")
    assert await page.evaluate("window.opened") is True


async def test_a_drag_reorders_and_the_next_claim_obeys(
    apart: Any,
    page: Any,
    dashboard: Any,
    start_agent: Any,
    own_nats_server: Any,
    until: Callable[..., Any],
) -> None:
    tasks = [await apart.enqueue("true") for _ in range(3)]
    await known(page, "queues", "q")
    await page.goto(dashboard.url + "/?queue=q")
    line = page.locator(".evq-line")
    await until(lambda: _is(line, tasks))
    # When it is known why they wait the line is drawn anew, which ends a drag.
    for task in tasks:
        await expect(cell(page, "line", task, "reason")).to_contain_text("no agent")
    await drag(page, line, 2, 0)
    wanted = [tasks[2], tasks[0], tasks[1]]
    await expect(page.locator(".evq-snack")).to_contain_text(f"{tasks[2]} is number 1 of 3")
    await until(lambda: _is(line, wanted))
    (moved,) = await said(apart, subjects.lifecycle("q", tasks[2]), Moved)
    assert moved.by == ACTOR and moved.event.reason
    start_agent([apart], login=own_nats_server.login).ready()
    for task in tasks:
        await apart.ended(task)
    assert [task for _, _, task in sorted(await apart.claims())] == wanted


async def test_a_move_can_be_undone(
    apart: Any, page: Any, dashboard: Any, until: Callable[..., Any]
) -> None:
    tasks = [await apart.enqueue("true") for _ in range(3)]
    await known(page, "queues", "q")
    await page.goto(dashboard.url + "/queues/q")
    line = page.locator(".evq-line")
    await until(lambda: _is(line, tasks))
    await line.locator(f'[row-id="{tasks[2]}"] [col-id="name"]').click()
    await page.get_by_role("button", name="to the front").click()
    await until(lambda: _is(line, [tasks[2], tasks[0], tasks[1]]))
    await page.get_by_role("button", name="Undo").click()
    await until(lambda: _is(line, tasks))


async def test_a_pause_has_an_author_and_a_reason(apart: Any, page: Any, dashboard: Any) -> None:
    await apart.enqueue("true")
    await known(page, "queues", "q")
    await page.goto(dashboard.url + "/queues/q")
    await page.get_by_role("button", name="Pause").click()
    await page.get_by_role("textbox").fill("new switch")
    await page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    await expect(page.locator(".evq-state.paused").first).to_contain_text("new switch")
    (paused,) = await said(apart, subjects.queue_events("q"), QueuePaused)
    assert (paused.by, paused.event.reason) == (ACTOR, "new switch")
    await page.get_by_role("button", name="Resume").click()
    await expect(page.get_by_role("button", name="Pause")).to_be_visible()
    (resumed,) = await said(apart, subjects.queue_events("q"), QueueResumed)
    assert resumed.by == ACTOR


async def test_a_drain_has_an_author_and_a_reason(
    apart: Any, page: Any, dashboard: Any, start_agent: Any, own_nats_server: Any
) -> None:
    agent = start_agent([apart], login=own_nats_server.login).ready()
    await known(page, "workers", agent.name)
    await page.goto(f"{dashboard.url}/workers/{agent.name}")
    await page.get_by_role("button", name="Drain").click()
    await page.get_by_role("textbox").fill("new driver")
    await page.get_by_role("dialog").get_by_role("button", name="Drain").click()
    await expect(page.locator(".evq-state.drained").first).to_contain_text("new driver")
    about = subjects.agent_events(agent.name)
    (drained,) = await said(apart, about, DrainRequested)
    assert (drained.by, drained.event.reason) == (ACTOR, "new driver")
    await page.get_by_role("button", name="Resume").click()
    await expect(page.locator(".evq-state.idle").first).to_be_visible()
    (resumed,) = await said(apart, about, ResumeRequested)
    assert resumed.by == ACTOR


async def test_a_worker_that_dies_is_shown(
    apart: Any, page: Any, dashboard: Any, start_agent: Any, own_nats_server: Any, gate: Any
) -> None:
    agent = start_agent([apart], "--lease", "2", login=own_nats_server.login).ready()
    await apart.enqueue("sh", "-c", gate.wait)
    await gate.reached()
    await page.goto(dashboard.url + "/")
    await expect(tile(page, "busy").locator("div").first).to_have_text("1")
    agent.process.kill()
    await expect(tile(page, "gone").locator("div").first).to_have_text("1")
    state = cell(page, "workers", agent.name, "state")
    await expect(state).to_have_text(re.compile("silent|lost"))
    await tile(page, "gone").click()
    await expect(page).to_have_url(re.compile(r"show=gone"))
    await page.reload()
    await expect(state).to_have_text(re.compile("silent|lost"))


async def test_the_slider_shows_what_was(
    apart: Any, page: Any, dashboard: Any, until: Callable[..., Any]
) -> None:
    first = await apart.enqueue("true")
    then = now()
    second = await apart.enqueue("true")
    await apart.client.abort(first, "not needed")
    await known(page, "queues", "q")
    await page.goto(dashboard.url + "/?queue=q")
    line = page.locator(".evq-line")
    await until(lambda: _is(line, [second]))
    await page.goto(f"{dashboard.url}/?queue=q&at={then}")
    await until(lambda: _is(line, [first]))
    await expect(page.locator(".evq-past")).to_contain_text("as it was on")
    await expect(tile(page, "tasks-wait")).to_have_text("1")
    await expect(page.get_by_role("button", name="to the front")).to_be_hidden()
    third = await apart.enqueue("true")
    await page.get_by_role("button", name="now").click()
    await until(lambda: _is(line, [second, third]))
    await expect(page.locator(".evq-past")).to_be_hidden()
    await expect(page).not_to_have_url(re.compile("at="))
    # Nothing was there at the slider's other end.
    await page.get_by_role("slider").click(position={"x": 4, "y": 8})
    await expect(tile(page, "tasks-wait")).to_have_text("0")
    await expect(page).to_have_url(re.compile("at="))


async def test_workers_are_grouped(
    apart: Any, page: Any, dashboard: Any, start_agent: Any, own_nats_server: Any
) -> None:
    for zone in ("b", "b", "a"):
        start_agent([apart], "--label", f"zone={zone}", login=own_nats_server.login).ready()
    await page.goto(f"{dashboard.url}/?group=label:zone")
    grid = page.locator(".evq-workers")
    heads = grid.locator(".evq-group")
    await expect(heads).to_have_text(["▸ a (1)", "▸ b (2)"])
    await expect(cell(page, "workers", "group b", "runs")).to_contain_text("2 idle")
    await expect(grid.locator("a")).to_have_count(0)
    await heads.nth(1).click()
    await expect(heads).to_have_text(["▸ a (1)", "▾ b (2)"])
    await expect(grid.locator("a")).to_have_count(2)
    await page.locator(".evq-grouping").click()
    await page.get_by_role("option", name="no groups").click()
    await expect(heads).to_have_count(0)
    await expect(grid.locator("a")).to_have_count(3)
    await expect(page).not_to_have_url(re.compile("group="))


async def test_a_queue_and_a_worker_are_looked_back_at(
    apart: Any, page: Any, dashboard: Any, start_agent: Any, own_nats_server: Any, gate: Any
) -> None:
    task = await apart.enqueue("sh", "-c", gate.wait, name="seen")
    waiting = now()
    agent = start_agent([apart], login=own_nats_server.login).ready()
    await gate.reached()
    await apart.event(task, Started)
    running = now()
    gate.open()
    await apart.ended(task)
    await known(page, "workers", agent.name)
    await page.goto(f"{dashboard.url}/workers/{agent.name}?at={running}")
    await expect(page.locator(".evq-past")).to_contain_text("as it was on")
    await expect(cell(page, "running", task, "name")).to_have_text("seen")
    await expect(page.get_by_role("button", name="Drain")).to_be_hidden()
    await page.get_by_role("button", name="now").click()
    await expect(cell(page, "running", task, "name")).to_have_count(0)
    await expect(page.get_by_role("button", name="Drain")).to_be_visible()
    await page.goto(f"{dashboard.url}/workers/{agent.name}?at={waiting}")
    await expect(page.get_by_text("it was not there")).to_be_visible()

    await page.goto(f"{dashboard.url}/queues/q?at={waiting}")
    await expect(cell(page, "line", task, "name")).to_have_text("seen")
    await expect(page.get_by_text("1 waiting")).to_be_visible()
    await expect(page.get_by_role("button", name="Pause")).to_be_hidden()
    await page.get_by_role("button", name="now").click()
    await expect(cell(page, "line", task, "name")).to_have_count(0)
    await expect(page.get_by_text("0 waiting")).to_be_visible()


async def test_keys_lead_through_the_page(
    apart: Any, page: Any, dashboard: Any, start_agent: Any, own_nats_server: Any
) -> None:
    agent = start_agent([apart], login=own_nats_server.login).ready()
    await page.goto(dashboard.url + "/")
    await expect(cell(page, "workers", agent.name, "state")).to_have_text("○ idle")
    await page.wait_for_function("window.evqKeys")
    await page.keyboard.press("/")
    await page.keyboard.type("nobody is called so")
    await expect(cell(page, "workers", agent.name, "state")).to_have_count(0)
    await expect(page).to_have_url(re.compile(r"q=nobody"))
    await page.get_by_role("textbox").fill("")
    await expect(cell(page, "workers", agent.name, "state")).to_have_text("○ idle")
    await page.keyboard.press("Escape")
    await page.keyboard.press("?")
    await expect(page.get_by_text("these lines")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_text("these lines")).to_be_hidden()
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{dashboard.url}/workers/{agent.name}")


async def drag(page: Any, line: Locator, source: int, target: int) -> None:
    """Drag a row of the line onto another."""
    handles = line.locator(".ag-drag-handle")
    begin, end = [await handles.nth(n).bounding_box() for n in (source, target)]
    await page.mouse.move(begin["x"] + 5, begin["y"] + 8)
    await page.mouse.down()
    await page.mouse.move(begin["x"] + 5, begin["y"] - 10, steps=4)
    await page.mouse.move(end["x"] + 5, end["y"] + 2, steps=8)
    await page.mouse.up()


async def _is(line: Locator, tasks: list[str]) -> bool:
    return await rows(line, "task") == tasks
