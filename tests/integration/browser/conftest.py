"""A dashboard with a server and a projector of its own, and a real browser that looks at it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright, expect
from projecting import Projector
from starting import PATIENCE, Program

from evq.core.bus.connect import Login

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# How long a page takes says how busy the machine is, and nothing of the page.
expect.set_options(timeout=PATIENCE * 1000)
OPTIONS = ("--disable-gpu", "--disable-quic", "--disable-background-networking")


class Dashboard(Program):
    """`python -m evq.projector.web` on a free port; `projector` is what it asks."""

    def __init__(self, login: Login, folder: Path, projector: Projector, *options: str) -> None:
        folder.mkdir()
        self.projector = projector
        argv = [sys.executable, "-P", "-m", "evq.projector.web", "--listen", "127.0.0.1:0"]
        argv += ["--store", str(folder)]
        super().__init__([*argv, *options], login, folder / "log")

    @property
    def link(self) -> str:
        """The address with its token, as a user gets it."""
        return next(word for word in self.said.split() if word.startswith("http"))

    @property
    def url(self) -> str:
        """The address alone, without a slash at its end."""
        scheme, place, *_ = urlsplit(self.link)
        return f"{scheme}://{place}"


@pytest.fixture
async def projector(
    apart: Any, own_nats_server: Any, tmp_path: Path, until: Callable[..., Any]
) -> AsyncIterator[Projector]:
    """The projector of the test's own server, at work. The streams are there: `apart` made them."""
    made = Projector(own_nats_server.login, tmp_path / "projector", until)
    await made.start()
    yield made
    if made.process:
        made.process.terminate()
        made.process.wait(PATIENCE)


@pytest.fixture
def dashboard(own_nats_server: Any, projector: Projector, tmp_path: Path) -> Iterator[Dashboard]:
    """A dashboard that answers."""
    made = Dashboard(own_nats_server.login, tmp_path / "dashboard", projector)
    yield made.ready()
    made.close()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A browser without a window."""
    if CHROMIUM is None:
        pytest.skip("this machine has no Chromium: apt-get install chromium")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=CHROMIUM, chromium_sandbox=False, args=list(OPTIONS)
        )
        yield chromium
        await chromium.close()


class Watched:
    """What went wrong on a page, or left for another host."""

    def __init__(self, page: Page, url: str) -> None:
        self.wrong: list[str] = []
        self._url = url
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.wrong.append(f"page error: {error}"))
        page.on("request", self._request)
        page.on("dialog", self._dialog)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.wrong.append(f"console: {message.text} {message.location}")

    def _request(self, request: Request) -> None:
        address = request.url.replace("ws://", "http://").replace("wss://", "https://")
        if not address.startswith((self._url, "data:", "blob:", "about:")):
            self.wrong.append(f"request to {request.url}")

    async def _dialog(self, dialog: Any) -> None:
        self.wrong.append(f"dialog: {dialog.message}")
        await dialog.dismiss()


@pytest.fixture
async def watched(page: Page) -> Watched:
    """What the page's own watch has seen; a test that provokes errors may empty `wrong`."""
    return page.evq_watched  # type: ignore[attr-defined,no-any-return]


@pytest.fixture
async def page(browser: Browser, dashboard: Dashboard) -> AsyncIterator[Page]:
    """A page at the dashboard's link. The test fails if it logs an error, opens a dialog or asks
    another host for anything."""
    context = await browser.new_context(viewport={"width": 1400, "height": 900})
    page = await context.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    page.evq_watched = watched = Watched(page, dashboard.url)  # type: ignore[attr-defined]
    await page.goto(dashboard.link)
    yield page
    await context.close()
    assert watched.wrong == []
