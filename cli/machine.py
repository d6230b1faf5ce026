"""What an agent's last sample says of its machine, for `evq worker NAME`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..core.errors import ProjectorAway
from ..core.questions import Named
from ..core.units import size_text
from .render import age

if TYPE_CHECKING:
    from ..core.sdk.client import Client

Seen = dict[str, Any]
"""A row of `machine_latest`, and as `gpus` those of `gpu_latest`."""


async def seen_by(client: Client, agent: str) -> Seen | None:
    """What the agent told last; None without a projector, or before it told anything."""
    try:
        machines = [row async for row in client.rows(Named("machine", {"agent": agent}))]
        gpus = [row async for row in client.rows(Named("machine_gpus", {"agent": agent}))]
    except ProjectorAway:
        return None
    return {**machines[0], "gpus": gpus} if machines else None


def machine_lines(seen: Seen | None) -> Iterator[tuple[str, str]]:
    """The same in words, as pairs of a title and a text."""
    if seen is None:
        return
    at = int(datetime.fromisoformat(seen["ts"]).timestamp() * 1e6)
    yield "machine", f"{', '.join(_machine(seen))} ({age(at)} ago)"
    if rates := ", ".join(_rates(seen)):
        yield "traffic", rates
    if seen["trouble"]:
        yield "trouble", seen["trouble"]
    for gpu in seen["gpus"]:
        yield f"gpu {gpu['index']}", gpu["trouble"] or ", ".join(_gpu(gpu))


def _machine(seen: Seen) -> Iterator[str]:
    if cpu := seen["cpu"]:
        yield f"CPU {cpu['mean']:.0f} %, at most {cpu['max']:.0f} %"
    for name in ("memory", "swap", "disk"):
        if (used := seen[name]) and seen[f"{name}_total"]:
            yield f"{name} {_bytes(used['last'])} of {_bytes(seen[f'{name}_total'])}"
    if heat := seen["temperature"]:
        yield f"{heat['max']:.0f} °C"


def _rates(seen: Seen) -> Iterator[str]:
    for name, word in (
        ("disk_read", "disk reads"),
        ("disk_write", "writes"),
        ("net_in", "network in"),
        ("net_out", "out"),
    ):
        if rate := seen[name]:
            yield f"{word} {_bytes(rate['mean'])}/s"


def _gpu(gpu: Seen) -> Iterator[str]:
    if used := gpu["utilisation"]:
        yield f"{used['mean']:.0f} % used, at most {used['max']:.0f} %"
    if memory := gpu["memory"]:
        yield f"{_bytes(memory['last'])} of {_bytes(gpu['memory_total'])}"
    if heat := gpu["temperature"]:
        yield f"{heat['max']:.0f} °C"
    if power := gpu["power"]:
        limit = f" of {gpu['power_limit']:.0f}" if gpu["power_limit"] else ""
        yield f"{power['mean']:.0f}{limit} W"


def _bytes(value: float) -> str:
    return size_text(int(value))
