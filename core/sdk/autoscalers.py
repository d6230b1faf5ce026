"""Autoscalers that have machines for a queue, as others see them: read from their journals."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from ..errors import NotFound
from ..fleet.kinds import MachineKind
from ..fleet.resources import NO_CLIENT, lacks, request_of
from ..ids import is_task_id
from ..journal import Noted
from ..spec import Spec
from ..state import Task
from .journal import Journal, journals
from .services import service

if TYPE_CHECKING:
    from .client import Client

SERVICE = "autoscaler"


class Autoscaler(msgspec.Struct, frozen=True):
    """An autoscaler in force: somebody wishes for its machines, and its controller has not ended.

    `kinds` are those of its machines that serve the queue it was asked for. `words` say its last
    decision, made at `at` (microseconds since 1970). `controller` is its task, null if it runs in
    somebody's terminal.
    """

    name: str
    kinds: Sequence[MachineKind]
    words: str
    at: int
    controller: Task | None

    def lacks(self, spec: Spec) -> list[str]:
        """What its machines lack for the task, in words: those that lack least. Empty if one of
        them could run it."""
        request = request_of(spec)
        agents_lack = [NO_CLIENT] if spec.client else []
        return min((lacks(request, kind.offer) + agents_lack for kind in self.kinds), key=len)


async def autoscalers_for(client: Client, queue: str) -> list[Autoscaler]:
    """The autoscalers in force that have machines for the queue, by their names.

    Reads their journals: ask only if nobody serves the queue. Of one that was killed in its
    terminal nobody knows that it has ended.
    """
    names = await journals(client, SERVICE)
    found = await asyncio.gather(*(_in_force(client, name, queue) for name in names))
    return [one for one in found if one]


class _Wish(msgspec.Struct, frozen=True):
    """What is wished of an autoscaler, as far as it matters to tasks; `left` is the holder that
    ended last in a terminal, empty if none did."""

    kinds: dict[str, MachineKind] = {}
    left: str = ""
    words: str = ""
    at: int = 0


def _evolve(wish: _Wish, noted: Noted[dict[str, Any]]) -> _Wish:
    wish = replace(wish, words=noted.words, at=noted.at)
    match noted.fact:
        case {"what": "defined", "definition": {"kinds": kinds}}:
            return replace(wish, kinds=msgspec.convert(kinds, dict[str, MachineKind]))
        case {"what": "stopped"}:
            return replace(wish, kinds={})
        case {"what": "left"}:
            return replace(wish, left=noted.holder)
    return wish


async def _in_force(client: Client, name: str, queue: str) -> Autoscaler | None:
    journal = Journal[_Wish, dict[str, Any]](
        client, SERVICE, name, facts=dict[str, Any], start=_Wish(), evolve=_evolve
    )
    await journal.load()
    wish = journal.state
    kinds = [kind for kind in wish.kinds.values() if queue in kind.queues]
    if not kinds:
        return None
    controller = await _controller(client, name)
    if controller is None and (journal.speaker == wish.left or not _is_terminal(journal.speaker)):
        return None
    return Autoscaler(name, kinds, wish.words, wish.at, controller)


async def _controller(client: Client, name: str) -> Task | None:
    """The task of its controller, unless that has ended."""
    try:
        found = await service(client, SERVICE, name)
    except NotFound:
        return None
    return found.task if found.runs else None


def _is_terminal(speaker: str) -> bool:
    return bool(speaker) and not is_task_id(speaker.partition(".")[0])
