"""`evq enqueue --array`: an array, as it is enqueued and in a few words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from ...core.arrays.array import Array, index_text
from ...core.spec import Spec
from ...core.state import Ended, Task
from .. import output
from ..tasks.document import brief_facts
from ..tasks.render import colored, end_text, marked

if TYPE_CHECKING:
    from ...core.sdk.client import Client
    from ...core.sdk.enqueueing import Receipt

array_option = click.option(
    "--array", metavar="A-B[%N]", help="A task for each {index} from A to B, at most N at once."
)

Plan = tuple[range, int | None]
"""The indexes, and how many may run at once."""

ORDER = ("running", "claimed", "queued", "held", "failed", "timed_out", "aborted", "completed")
"""States, what matters most first: the first one that a member is in stands for the array."""

SHOWN = 20


async def enqueue_plan(client: Client, spec: Spec, plan: Plan) -> tuple[Receipt, tuple[str, ...]]:
    """Enqueue an array: a receipt for it as if it were a task, and its members' ids."""
    from ...core.sdk.enqueueing import Receipt

    done = await client.enqueue_array(spec, *plan)
    return Receipt(done.array, 0, done.new), done.tasks


def plan_text(plan: Plan) -> str:
    """`100 members, 0-99, 8 at once`."""
    indexes, most = plan
    words = [f"{len(indexes)} members", index_text((indexes[0], *indexes[1:]))]
    return ", ".join([*words, f"{most} at once"] if most else words)


def state_of(counts: Mapping[str, Any]) -> str:
    """The state that stands for an array, given how many members are in each."""
    return next((state for state in ORDER if counts.get(state)), "completed")


def counts_text(counts: Mapping[str, Any]) -> str:
    """`8 running, 80 held, 12 completed`."""
    return ", ".join(
        f"{counts[state]} {state.replace('_', ' ')}" for state in ORDER if counts.get(state)
    )


def counts_of(members: Iterable[Task]) -> Counter[str]:
    """How many members are in each state."""
    return Counter(one.name_of_state for one in members)


def array_facts(array: Array, members: list[Task]) -> dict[str, Any]:
    """An array as JSON."""
    counts = counts_of(members)
    return {
        "array": {
            "id": array.id,
            "first": array.first,
            "size": array.size,
            "most": array.most,
            "state": state_of(counts),
            "counts": counts,
        },
        "members": [
            {"index": one.spec.array and one.spec.array.index} | brief_facts(one) for one in members
        ],
    }


def say_array(array: Array, members: list[Task]) -> None:
    """The array for people: what became of its members, and those that one may want to look at."""
    counts = counts_of(members)
    output.say(f"array {output.bold(array.id)}  {members[0].spec.name} …  {array.text}")
    output.say(f"  {colored(marked(state_of(counts)))}  {counts_text(counts)}")
    for state in ORDER:
        alike = [one for one in members if one.name_of_state == state]
        if alike and state not in ("completed", "held", "queued"):
            output.say()
            for one in alike[:SHOWN]:
                output.say(f"  {_line(one)}")
            if len(alike) > SHOWN:
                rest = index_text(one.spec.array.index for one in alike[SHOWN:] if one.spec.array)
                output.say(f"  and as {marked(state)}: {rest}")
    output.say()
    words = [f"evq logs {array.id}/{array.first}", f"evq wait {array.id}"]
    words.append(f"evq retry {array.id} --failed")
    output.say(output.dim("next  " + "   ".join(words)))


def _line(one: Task) -> str:
    agent = one.attempts[-1].agent if one.attempts else ""
    how = end_text(one.state.exit_code, one.state.cause) if isinstance(one.state, Ended) else ""
    index = one.spec.array.index if one.spec.array else 0
    words = [f"{index:>5}", one.id, colored(marked(one.name_of_state)), one.spec.name, agent, how]
    return "  ".join(filter(None, words))
