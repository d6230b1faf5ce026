"""The variables by which a task's MLflow client finds its agent."""

from __future__ import annotations

from collections.abc import Mapping

from .door import Door
from .ticket import Ticket

_THEIRS = ("MLFLOW_TRACKING_URI", "DATABRICKS_HOST")
"""Who has one of these tracks elsewhere, and is left alone."""

_PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")


def tracks_elsewhere(given: Mapping[str, str]) -> bool:
    """Whether whoever gave these variables has a tracking server of his own."""
    return any(given.get(name) for name in _THEIRS)


def mlflow_variables(given: Mapping[str, str], door: Door, ticket: Ticket) -> dict[str, str]:
    """What is to be added to `given`, the variables of a task's command."""
    said = {
        "MLFLOW_TRACKING_URI": door.address,
        "MLFLOW_TRACKING_TOKEN": door.ticket(ticket),
        "MLFLOW_RUN_ID": ticket.run,
        # The links would lead to no page.
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }
    if any(given.get(name) for name in _PROXIES):
        # Clients would ask the proxy for this machine's own loopback.
        for name in ("no_proxy", "NO_PROXY"):
            said[name] = ",".join(filter(None, (given.get(name), "127.0.0.1")))
    return said
