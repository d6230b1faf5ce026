"""Sends messages by Apprise, which knows chats, e-mail, telephones and webhooks by their URLs."""

from __future__ import annotations

import logging
import re

from ...core.errors import EvqError, UsageError
from .decide import Message

LEAST = 6
"""Characters of a part of an address from which on it may be the secret in it."""


class NotTaken(EvqError):
    """A message was not taken. It is tried again."""


def check_address(address: str) -> None:
    """Raise `UsageError` if Apprise cannot make anything of an address, which is not shown."""
    from apprise import Apprise

    if not Apprise().add(address):
        raise UsageError(
            "the secret holds no address that messages can be sent to",
            why="Apprise does not know its form",
            fix="slack://…, mailtos://…, json://host/path; all: github.com/caronc/apprise/wiki",
        )


async def send(address: str, message: Message) -> None:
    """Send a message. Raises `NotTaken`, which shows nothing of the address."""
    from apprise import Apprise, LogCapture, NotifyFormat

    apprise = Apprise()
    apprise.add(address)
    with LogCapture(  # type: ignore[no-untyped-call]
        level=logging.WARNING, fmt="%(message)s"
    ) as said:
        taken = await apprise.async_notify(
            title=message.title, body=message.body, body_format=NotifyFormat.TEXT
        )
        why = str(said.getvalue())
    if not taken:
        last = (why.strip().splitlines() or ["it gave no reason"])[-1]
        raise NotTaken(f"the message was not taken: {without(address, last)}")


def without(address: str, text: str) -> str:
    """`text` without any part of an address that may be a secret."""
    for part in re.split(r"[/:@?&=#]+", address):
        if len(part) >= LEAST:
            text = text.replace(part, "[secret]")
    return text
