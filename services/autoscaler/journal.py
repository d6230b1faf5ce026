"""The journal of an autoscaler."""

from __future__ import annotations

from ...core.sdk.client import Client
from ...core.sdk.journal import Journal
from .facts import Fact, State, evolve

SERVICE = "autoscaler"


def autoscaler_journal(client: Client, name: str) -> Journal[State, Fact]:
    """The journal of the autoscaler of this name; empty before it is loaded."""
    return Journal(client, SERVICE, name, facts=Fact, start=State(), evolve=evolve)
