"""What services enqueue for people: a task, or an array of them."""

from __future__ import annotations

from ..core.arrays.array import parse_array
from ..core.sdk.client import Client
from ..core.spec import Spec


async def enqueue(client: Client, spec: Spec, array: str = "") -> str:
    """Enqueue a task, or one for each index of an array such as `0-99%8`; the id of either. Under
    the key of the spec there is only one, and an array that was cut off is completed.

    Raises `UsageError`.
    """
    if array:
        return (await client.enqueue_array(spec, *parse_array(array))).array
    return (await client.enqueue(spec)).task


def id_text(task: str, array: object) -> str:
    """`task k3f9…`, or `array k3f9…` if it is one."""
    return f"{'array' if array else 'task'} {task}"
