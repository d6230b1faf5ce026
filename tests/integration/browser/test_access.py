"""Who gets into the dashboard, and what a foreign page can do with somebody who is in."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import expect
from starting import PATIENCE

from evq.core.sdk.viewers import Role, Viewers
from evq.projector.web.access.policy import ANY_INLINE

HTML = {"accept": "text/html"}


def asking(dashboard: Any) -> httpx.AsyncClient:
    """Somebody who asks the dashboard, and waits as long as a browser would."""
    return httpx.AsyncClient(base_url=dashboard.url, timeout=PATIENCE)


@pytest.fixture
def token(dashboard: Any) -> str:
    return str(dashboard.link.partition("token=")[2])


@pytest.fixture
def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


PATHS = ("/", "/sql", "/api/queues", "/metrics", "/_nicegui/x", "/nowhere")


async def test_nobody_gets_in_without_a_token(dashboard: Any) -> None:
    async with asking(dashboard) as web:
        for path in PATHS:
            for more in ({}, {"authorization": "Bearer wrong"}, {"cookie": "evq-80=x"}):
                answer = await web.get(path, headers=more)
                assert answer.status_code == 401, answer.text
            answer = await web.get(path, params={"token": "wrong"}, headers=HTML)
            assert answer.status_code == 401 and "not known" in answer.text


async def test_a_link_is_exchanged_for_a_cookie(dashboard: Any, token: str) -> None:
    async with asking(dashboard) as web:
        answer = await web.get("/", params={"token": token, "state": "failed"})
        assert answer.status_code == 303
        assert answer.headers["location"] == "/?state=failed"
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and token not in cookie
        assert (await web.get("/")).status_code == 200


async def test_the_doorstep_leads_only_to_our_own_pages(dashboard: Any, token: str) -> None:
    own = {"origin": dashboard.url}
    async with asking(dashboard) as web:
        for to in ("//evil.example/x", "/\\evil.example", "https://evil.example"):
            answer = await web.post("/login", data={"token": token, "to": to}, headers=own)
            assert answer.status_code == 303 and answer.headers["location"] == "/"
        answer = await web.post("/login", data={"token": "wrong"}, headers=own | HTML)
        assert answer.status_code == 401 and "not known" in answer.text


FOREIGN = [
    {"host": "evil.example"},
    {"host": "127.0.0.1:1"},
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
]


METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")


async def test_a_foreign_page_gets_nothing_with_our_login(dashboard: Any, bearer: Any) -> None:
    async with asking(dashboard) as web:
        for method, foreign in itertools.product(METHODS, FOREIGN):
            answer = await web.request(method, "/", headers=bearer | foreign)
            assert answer.status_code == 403, (method, foreign)


async def test_what_changes_something_must_name_its_origin(dashboard: Any, token: str) -> None:
    async with asking(dashboard) as web:
        await web.get("/", params={"token": token})
        assert (await web.post("/nowhere")).status_code == 403
        own = {"origin": dashboard.url}
        assert (await web.post("/nowhere", headers=own)).status_code in (404, 405)


async def test_a_foreign_websocket_is_refused(dashboard: Any, token: str) -> None:
    async with asking(dashboard) as web:
        await web.get("/", params={"token": token})
        headers = {
            "connection": "Upgrade",
            "upgrade": "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        path = "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
        for foreign in ({}, {"origin": "http://evil.example"}, {"origin": "null"}):
            assert (await web.get(path, headers=headers | foreign)).status_code == 403
        own = {"origin": dashboard.url}
        async with web.stream("GET", path, headers=headers | own) as answer:
            assert answer.status_code == 101


async def test_every_answer_has_a_strict_policy(dashboard: Any, bearer: Any) -> None:
    async with asking(dashboard) as web:
        for path in ("/", "/nowhere", "/_nicegui/nothing"):
            answer = await web.get(path, headers=bearer)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
            assert ANY_INLINE not in policy, "NiceGUI's page is another one now"
            assert answer.headers["x-content-type-options"] == "nosniff"
        page = await web.get("/", headers=bearer)
        assert "script-src 'self' 'nonce-" in page.headers["content-security-policy"]
        again = await web.get("/", headers=bearer)
        assert (
            page.headers["content-security-policy"] != again.headers["content-security-policy"]
        ), "a nonce is for once"


async def test_a_user_who_is_removed_is_out(dashboard: Any, tmp_path: Path) -> None:
    viewers = Viewers(tmp_path / "dashboard")
    token = viewers.add("ada", Role.VIEWER)
    async with asking(dashboard) as web:
        assert (await web.get("/", params={"token": token})).status_code == 303
        assert (await web.get("/")).status_code == 200
        viewers.remove("ada")
        assert (await web.get("/")).status_code == 401


async def test_an_open_page_of_a_user_who_is_removed_ends(
    browser: Any, dashboard: Any, apart: Any, tmp_path: Path
) -> None:
    viewers = Viewers(tmp_path / "dashboard")
    token = viewers.add("ada", Role.VIEWER)
    page = await browser.new_page()
    await page.goto(f"{dashboard.url}/?token={token}")
    await expect(page.locator(".evq-freshness")).to_have_text("live")
    bearer = {"authorization": f"Bearer {token}"}
    async with (
        httpx.AsyncClient(base_url=dashboard.url, headers=bearer, timeout=30) as web,
        web.stream("GET", "/api/events/stream") as events,
    ):
        lines = events.aiter_lines()
        assert await anext(lines) == ": the log of evq"
        viewers.remove("ada")
        await expect(page.get_by_label("token")).to_be_visible()
        await apart.enqueue("true")
        assert [line async for line in lines if line] == []


async def test_the_form_opens_the_page_that_was_asked_for(
    browser: Any, dashboard: Any, token: str
) -> None:
    page = await browser.new_page()
    await page.goto(dashboard.url + "/?x=1")
    await page.get_by_label("token").fill(token)
    await page.get_by_role("button", name="Open").click()
    await expect(page).to_have_title("Workers & Queues · evq")
    assert page.url == dashboard.url + "/?x=1"


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--listen", "0.0.0.0:0"], "TLS"),
        (["--listen", "0.0.0.0:0"], "a user with a name"),
        (["--listen", "127.0.0.1:0", "--tls-cert", "/nowhere"], "belong together"),
        (["--listen", "127.0.0.1:0", "--tls-cert", "/no", "--tls-key", "/no"], "cannot be used"),
        (["--listen", "nonsense nonsense"], "is not an address"),
        (["--listen", "127.0.0.1:0", "--public-url", "ftp://x"], "is no address of a web page"),
    ],
)
async def test_an_unsafe_door_stays_shut(tmp_path: Path, options: list[str], word: str) -> None:
    argv = [sys.executable, "-P", "-m", "evq.projector.web", "--store", str(tmp_path), *options]
    done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and word in done.stderr
    assert "Traceback" not in done.stderr
