"""The journals of autoscalers."""

from __future__ import annotations

from ..journals import Journals
from .facts import Fact, State, evolve

SERVICE = "autoscaler"

JOURNALS: Journals[State, Fact] = Journals(SERVICE, facts=Fact, start=State(), evolve=evolve)
autoscaler_journal = JOURNALS.open
