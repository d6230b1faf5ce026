"""What a task shows to be let in: which attempt it is, signed by its agent.

The key never leaves the agent and its server of routes, and nothing is kept for each attempt: who
has a ticket was given it.
"""

from __future__ import annotations

import hmac
import re
from typing import NamedTuple

_FORM = re.compile(r"(\d{1,6})\.(\d{1,19})\.(\w{1,64})\.(\d{1,9})\.([0-9a-f]{64})", re.ASCII)


class Ticket(NamedTuple):
    """The slot that an attempt has, its claim, its task, its number."""

    slot: str
    claim: int
    task: str
    attempt: int

    @property
    def run(self) -> str:
        """The name of the attempt's own run."""
        return f"{self.task}-{self.attempt}"

    def signed(self, key: bytes) -> str:
        """The ticket as text."""
        body = f"{self.slot}.{self.claim}.{self.task}.{self.attempt}"
        return f"{body}.{_signature(body, key)}"


def read_ticket(text: str, key: bytes) -> Ticket | None:
    """The ticket that `text` is; None if this key has not signed it."""
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    slot, claim, task, attempt, signature = found.groups()
    if not hmac.compare_digest(signature, _signature(text.rpartition(".")[0], key)):
        return None
    return Ticket(slot, int(claim), task, int(attempt))


def _signature(body: str, key: bytes) -> str:
    return hmac.digest(key, body.encode(), "sha256").hex()
