"""Does what a trigger says about one match, so that to do it again does no harm."""

from __future__ import annotations

import asyncio

from ...core.errors import EvqError
from ...core.sdk.client import Client
from ..alert.controller import tell
from ..alert.facts import Told
from ..enqueueing import enqueue, id_text
from .actions import CallFailed, call, key_of, task_for
from .facts import Do, Done, Enqueue, GaveUp, Matched, Tell, Webhook

TRIES = 8
"""How often a webhook is called, after 1, 2, 4 … seconds: about two minutes."""


async def act(
    client: Client, name: str, do: Do, matched: Matched, key: bytes
) -> tuple[Done | GaveUp, str]:
    """Do it; how that went, as a fact and in words. A webhook is signed with `key`, if there is
    one. Raises `BusAway`."""
    try:
        match do:
            case Enqueue(spec, array):
                task = await enqueue(client, task_for(name, spec, matched), array)
                return Done(matched.id, task), f"enqueued {id_text(task, array)}"
            case Webhook(url):
                return Done(matched.id), f"the webhook {await _call(url, name, matched, key)}"
            case Tell(alerts):
                for alert in alerts:
                    await tell(client, alert, _message(name, matched))
                return Done(matched.id), f"told {', '.join(alerts)}"
    except EvqError as error:
        return GaveUp(matched.id, str(error)), f"gave up: {error}"


async def _call(url: str, name: str, matched: Matched, key: bytes) -> str:
    for number in range(TRIES - 1):
        try:
            return await call(url, name, matched, key)
        except CallFailed as error:
            print(f"{name}: {error}", flush=True)
            await asyncio.sleep(2.0**number)
    return await call(url, name, matched, key)


def _message(name: str, matched: Matched) -> Told:
    return Told(
        key=key_of(name, matched),
        title=matched.words,
        body="\n".join(matched.lines),
        task=matched.task,
    )
