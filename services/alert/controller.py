"""The controller of one alert: sends what it is told, a few at a time, then as one."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing, suppress
from typing import Any

from ...core.errors import SecretFailed
from ...core.ports import BusAway
from ...core.sdk.author import now
from ...core.sdk.client import Client
from ...core.sdk.journal import Journal
from ...core.sdk.services import Service, start_service
from ...core.sdk.watch import watch
from ...core.subjects import service_events
from ..journals import Journals
from .decide import Message, decide, message_of, seconds_left
from .facts import Fact, Sent, State, Told, Undelivered, evolve
from .sending import NotTaken, check_address, send

SERVICE = "alert"
ADDRESS = "ALERT_ADDRESS"
"""The variable in which the controller finds where to send to."""

TRIES = 8
"""How often a message is tried, after 1, 2, 4 … seconds: about two minutes."""


JOURNALS: Journals[State, Fact] = Journals(SERVICE, facts=Fact, start=State(), evolve=evolve)
open_journal, load_journal, all_alerts = JOURNALS.open, JOURNALS.load, JOURNALS.all


async def start(client: Client, name: str, secret: str) -> Service:
    """Let the controller of an alert run; its agent must know the secret."""
    return await start_service(client, SERVICE, name, secrets=(f"{ADDRESS}={secret}",))


async def tell(client: Client, name: str, told: Told) -> None:
    """Hand a message to an alert; twice under one key is once. Raises `NotFound`."""
    journal = await load_journal(client, name)

    def choose(state: State) -> tuple[Fact, str] | None:
        return None if told.key in state.keys else (told, f"is told: {told.title}")

    await journal.decide(choose)


async def serve(client: Client, holder: str, *, name: str) -> None:
    """Send what an alert is told, until another attempt takes over or it is removed."""
    address = os.environ.get(ADDRESS)
    if not address:
        raise SecretFailed(f"{ADDRESS} is not set", fix=f"evq alert add {name} starts this")
    check_address(address)
    journal = await load_journal(client, name)
    await journal.take(holder)
    async with asyncio.TaskGroup() as group:
        news = asyncio.Event()
        listener = group.create_task(_listen(client, journal, news))
        while await _sent_all(client, journal, address):
            with suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), seconds_left(journal.state, now()))
            news.clear()
        listener.cancel()


async def _listen(client: Client, journal: Journal[State, Any], news: asyncio.Event) -> None:
    subject = service_events(SERVICE, journal.name)
    async with aclosing(watch(client.bus, journal.seq, (subject,))) as events:
        async for _ in events:
            news.set()


async def _sent_all(client: Client, journal: Journal[State, Fact], address: str) -> bool:
    """Send all for which it is time, however long the server is away; whether the alert is there
    still."""
    while True:
        try:
            await journal.catch_up()
            if journal.state.sending:
                await _deliver(journal, address)
            if not await journal.decide(lambda state: decide(state, now())):
                return journal.state.definition is not None
        except BusAway as away:
            await client.bus.wait(away)


async def _deliver(journal: Journal[State, Fact], address: str) -> None:
    """Send what is on its way, which may have been sent already before a crash."""
    state = journal.state
    assert state.definition is not None
    message = message_of(state.sending, state.definition.dashboard)
    keys = tuple(one.key for one in state.sending)
    why = await _try(address, message)
    if why:
        await journal.decide(lambda _: (Undelivered(keys, why), f"gave up: {why}"))
    else:
        await journal.decide(lambda _: (Sent(keys), f"sent: {message.title}"))


async def _try(address: str, message: Message) -> str:
    """Send a message; why it was not taken in the end, empty if it was."""
    why = ""
    for number in range(TRIES):
        try:
            await send(address, message)
        except NotTaken as error:
            why = error.what
            print(why, flush=True)
            await asyncio.sleep(2.0**number)
        else:
            return ""
    return why
