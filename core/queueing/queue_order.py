"""What may be said after `--order`: in which order an agent takes from its queues."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from ..errors import UsageError

FORMS = "strict, round-robin or weighted:QUEUE=WEIGHT,…"

MOST_WEIGHT = 1000

_PAIR = re.compile(r"([^=]+)=(\d+)\Z")


class Weights(msgspec.Struct, frozen=True):
    """Of all queues' tasks, the share of each; by queue, in the order of the agent's queues."""

    by_queue: dict[str, int]


def parse(text: str, queues: Sequence[str]) -> Literal["strict", "round-robin"] | Weights:
    """The order that `text` means for an agent of these queues. Raises `UsageError`."""
    match text:
        case "strict" | "round-robin":
            return text
        case _ if text.startswith("weighted:"):
            return _weights(text, queues)
        case _:
            raise UsageError(
                f"there is no order {text!r}",
                why=f"an agent knows {FORMS}",
                fix="--order round-robin",
            )


def _weights(text: str, queues: Sequence[str]) -> Weights:
    given: dict[str, int] = {}
    example = ",".join(f"{queue}={len(queues) - n}" for n, queue in enumerate(queues))
    fix = f"--order weighted:{example}"
    for part in text.removeprefix("weighted:").split(","):
        pair = _PAIR.match(part.strip())
        if pair is None or not 0 < int(pair[2]) <= MOST_WEIGHT:
            raise UsageError(
                f"{part!r} is not a queue's weight",
                why=f"a weight is a whole number from 1 to {MOST_WEIGHT}",
                fix=fix,
            )
        if pair[1] in given:
            raise UsageError(f"queue {pair[1]} has two weights", why=text, fix=fix)
        given[pair[1]] = int(pair[2])
    if missing := [queue for queue in queues if queue not in given]:
        raise UsageError(
            f"queue {missing[0]} has no weight",
            why="every queue that the agent serves needs one",
            fix=fix,
        )
    if strange := [queue for queue in given if queue not in queues]:
        raise UsageError(
            f"the agent does not serve queue {strange[0]}, which has a weight",
            why=f"it serves {', '.join(queues)}",
            fix=fix,
        )
    return Weights({queue: given[queue] for queue in queues})
