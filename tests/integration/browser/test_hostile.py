"""Names, logs, tags, parameters and errors are text on every page, whatever they contain."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from playwright.async_api import expect

from evq.core.events import Outcome

CORPUS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    "<svg/onload=alert(3)>",
    "\"><iframe src='javascript:alert(4)'></iframe>",
    "'-alert(5)-'",
    "{{constructor.constructor('alert(6)')()}}",
    "${alert(7)}",
    "javascript:alert(8)",
    "</textarea><script>alert(9)</script>",
    "<a href='//evil.example/x'>click</a>",
    "<style>@import '//evil.example/y'</style>",
    "`);alert(10);//",
    ":alert(11)",
)
"""The page's watch fails the test at the first dialog, error or request to another host."""


async def test_hostile_texts_are_shown_and_do_nothing(
    apart: Any, start_agent: Any, own_nats_server: Any, page: Any, dashboard: Any
) -> None:
    start_agent([apart], login=own_nats_server.login).ready()
    tasks = []
    for text in CORPUS:
        task = await apart.enqueue(
            "sh",
            "-c",
            'echo "$1"; echo "$1" >&2; exit 3',
            "sh",
            text,
            name=text,
            tags=(text,),
            project=text,
            user=text,
        )
        tasks.append(task)
    for task in tasks:
        assert (await apart.ended(task)).state.outcome is Outcome.FAILED
    for path in (
        "/",
        "/queues/q",
        "/tasks",
        f"/tasks?words={quote(CORPUS[0])}",
        *(f"/tasks/{task}" for task in tasks[:4]),
        f"/compare?tasks={','.join(tasks)}",
        f"/sql?query={quote('from tasks')}",
        f"/sql?query={quote(CORPUS[1])}",
        f"/tasks/{quote(CORPUS[1], safe='')}",
    ):
        await page.goto(dashboard.url + path)
        await expect(page.get_by_role("banner")).to_be_visible()
        await page.wait_for_load_state("networkidle")
    await page.goto(f"{dashboard.url}/tasks/{tasks[0]}")
    await expect(page.get_by_text(CORPUS[0]).first).to_be_visible()
