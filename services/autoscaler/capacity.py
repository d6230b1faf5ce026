"""How many machines are missing for the work that waits: a first fit, in the order of the line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
from msgspec.structs import replace

from ...core.fleet.resources import Device, Offer, Request, lacks
from .definition import Definition


class Waiting(msgspec.Struct, frozen=True):
    """A task that waits: what it asks for, and since when (microseconds since 1970)."""

    task: str
    queue: str
    request: Request
    since: int


class Room(msgspec.Struct, frozen=True):
    """What a machine has free, or will have when it is there, and for which queues."""

    queues: tuple[str, ...]
    offer: Offer

    def fits(self, one: Waiting) -> bool:
        """Whether the task can go there."""
        return one.queue in self.queues and not lacks(one.request, self.offer)

    def beside(self, one: Waiting) -> Room:
        """The room that is left when the task is there."""
        return replace(self, offer=taken(self.offer, one.request))


def missing(
    definition: Definition, waiting: Iterable[Waiting], rooms: Iterable[Room]
) -> Iterator[tuple[str, Waiting]]:
    """The kinds of the machines that are missing, each with the first task that it is for.

    A task goes where there is room already, else to the cheapest kind that it fits, whose machine
    has room for others then. One that fits none is passed over.
    """
    rooms = list(rooms)
    empty = sorted(
        (
            (kind.cost, name, Room(kind.queues, kind.offer))
            for name, kind in definition.kinds.items()
        ),
        key=lambda one: one[:2],
    )
    hopeless: set[tuple[str, str]] = set()
    for one in waiting:
        if _put(rooms, one) or (one.queue, one.request.size) in hopeless:
            continue
        fitting = ((name, room) for _, name, room in empty if room.fits(one))
        found = next(fitting, None)
        if found is None:
            hopeless.add((one.queue, one.request.size))
            continue
        name, room = found
        rooms.append(room.beside(one))
        yield name, one


def homeless(waiting: Iterable[Waiting], rooms: Iterable[Room]) -> Iterator[Waiting]:
    """The tasks for which no room is left when those before them have theirs."""
    left = list(rooms)
    return (one for one in waiting if not _put(left, one))


def _put(rooms: list[Room], one: Waiting) -> bool:
    """Give the task the first room that it fits; whether there is one."""
    for place, room in enumerate(rooms):
        if room.fits(one):
            rooms[place] = room.beside(one)
            return True
    return False


def taken(offer: Offer, request: Request) -> Offer:
    """What is left when a task with this request has its part, GPUs too."""
    left = offer.without(request)
    devices: list[Device] = []
    wanted = request.gpus
    for device in offer.devices:
        if wanted and device.takes(request.gpu_memory):
            wanted -= 1
            if request.gpu_memory is None:
                device = replace(device, held=True)
            else:
                device = replace(device, free_memory=device.free_memory - request.gpu_memory)
        devices.append(device)
    return replace(left, devices=tuple(devices))
