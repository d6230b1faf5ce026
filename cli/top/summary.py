"""The first line: how the fleet is, and how fresh that is."""

from __future__ import annotations

from rich.text import Text

from ...core.sdk.live import LiveFleet


def freshness(fleet: LiveFleet) -> tuple[str, str]:
    """Whether what is shown is what is there, in words, and its colour."""
    if not fleet.connected:
        return "NOT CONNECTED: all is as it was", "bold white on red"
    if fleet.behind:
        return f"behind {fleet.behind} events", "bold yellow"
    if fleet.projected is None:
        return "live, no projector", "yellow"
    return "live", "green"


def counts(fleet: LiveFleet) -> list[str]:
    """The fleet in a few figures."""
    agents = [one for one in fleet.agents.values() if one.there]
    busy = sum(one.busy for one in agents)
    slots = sum(one.slots for one in agents)
    devices = [gpu for one in agents if one.presence for gpu in one.presence.devices]
    taken = sum(not device.takes(None) for device in devices)
    queues = fleet.queues.values()
    return [
        f"{len(agents)} worker{'s' * (len(agents) != 1)}",
        f"{busy}/{slots} slots",
        f"{taken}/{len(devices)} GPUs" if devices else "",
        f"{sum(one.queued for one in queues)} wait",
        f"{sum(one.busy for one in queues)} run",
        f"{sum(one.failed + one.timed_out for one in queues)} failed",
    ]


def summary(fleet: LiveFleet, width: int, *, read_only: bool) -> Text:
    """The line, for a screen of this width."""
    words, style = freshness(fleet)
    right = Text("read-only  " if read_only else "", style="dim").append(words, style)
    left = Text("evq top", style="bold")
    for figure in filter(None, counts(fleet)):
        if left.cell_len + len(figure) + right.cell_len + 5 <= width:
            left.append(f"  {figure}", "not bold")
    gap = max(1, width - 2 - left.cell_len - right.cell_len)
    return left.append(" " * gap).append_text(right)
