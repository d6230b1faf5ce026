"""Pages that a browser opens, leaves, or never comes for."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nicegui import Client, core, ui
from starlette.requests import Request

from evq.projector.web.opening import forget_pages, opened, while_open

SCOPE = {"type": "http", "path": "/a-test", "query_string": b"", "headers": []}
WEB = Path(__file__).parents[2] / "projector" / "web"


class Ring:
    """Something that only the garbage collector can take away, as most of a page is."""

    def __init__(self) -> None:
        self.next = self


@pytest.fixture
async def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A page that was fetched; no browser has connected."""
    monkeypatch.setattr(core, "loop", asyncio.get_running_loop())
    return Client(ui.page("/a-test"), request=Request(SCOPE))


@pytest.fixture(autouse=True)
def no_pages() -> Iterator[None]:
    """None is left over, whatever a test did."""
    yield
    for one in list(Client.instances.values()):
        one.delete()


async def test_a_page_that_nobody_opened_is_given_up(client: Client) -> None:
    async def wait() -> bool:
        with client:
            return await opened()

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    client.delete()
    assert await waiting is False


async def test_what_goes_on_beside_a_page_ends_with_it(client: Client) -> None:
    never = asyncio.Event()

    async def work() -> None:
        await never.wait()

    with client:
        task = while_open(work(), "work")
        assert task
        await asyncio.sleep(0)
        client.delete()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_beside_a_page_that_is_gone_nothing_begins(client: Client) -> None:
    async def work() -> None:
        raise AssertionError("nobody is there")

    with client:
        client.delete()
        assert while_open(work(), "work") is None


async def test_unopened_pages_are_forgotten(
    client: Client, monkeypatch: pytest.MonkeyPatch, until: Any
) -> None:
    monkeypatch.setattr("evq.projector.web.opening._LOOK_SECONDS", 0.01)
    looking = asyncio.create_task(forget_pages())
    fresh = Client(ui.page("/another"))
    client.created -= 60.0
    await until(lambda: client.is_deleted)
    assert not fresh.is_deleted
    looking.cancel()


async def test_what_a_page_leaves_behind_goes_at_once(
    client: Client, monkeypatch: pytest.MonkeyPatch, until: Any
) -> None:
    monkeypatch.setattr("evq.projector.web.opening._LOOK_SECONDS", 0.01)
    gc.disable()
    looking = asyncio.create_task(forget_pages())
    try:
        ring = Ring()
        left = weakref.ref(ring)
        del ring
        await asyncio.sleep(0)  # it hears of pages that are deleted from here on
        client.delete()
        await until(lambda: left() is None)
    finally:
        gc.enable()
        looking.cancel()


def test_all_pages_wait_in_this_way() -> None:
    """`connected` alone returns when the page is deleted, too."""
    found = [path.name for path in WEB.rglob("*.py") if ".connected()" in path.read_text()]
    assert found == ["opening.py"]
