"""What a task asks of a machine, what a machine offers, and what one lacks for the other.

A request is part of a queue message's subject, as its *class*, so that an agent can pull only
what fits it now: what does not fit neither blocks the queue nor is taken and put back.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec

from ..spec import Spec
from ..units import size_text

NOTHING = "c0"
"""The class of a task that asks for nothing but a slot."""

NO_SLOT = "no slot"
"""What `lacks` says where all slots are taken."""

NO_CLIENT = "a login to the server for tasks (--allow-client)"
"""What an agent lacks that would refuse a task which asks for one."""

MEBI = 2**20


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a task asks for while it runs.

    `gpu_memory` is in bytes on each of its `gpus`, which it then shares with others; without it
    they are its own. `cpus` is in processors, `memory` in bytes. `labels` must all stand so on
    the agent. Fractions of a thousandth of a processor and of a mebibyte are rounded up.

    `user` stands for whose task it is, where a queue is shared out fairly: see `user_token`.
    """

    gpus: int = 0
    gpu_memory: int | None = None
    cpus: float | None = None
    memory: int | None = None
    labels: dict[str, str] = {}
    user: str = ""

    @property
    def size(self) -> str:
        """The class: the request as a token of a subject, such as `g2` or `c1500-m4096`."""
        parts = [
            f"g{self.gpus}" if self.gpus else "",
            f"v{_mebi(self.gpu_memory)}" if self.gpu_memory is not None else "",
            f"c{_milli(self.cpus)}" if self.cpus else "",
            f"m{_mebi(self.memory)}" if self.memory else "",
            f"u{self.user}" if self.user else "",
            f"l{_encoded(self.labels)}" if self.labels else "",
        ]
        return "-".join(filter(None, parts)) or NOTHING


def request_of(spec: Spec) -> Request:
    """What the task asks for. Its limits are reserved for it, too: they are one word of its user's.

    A share of a GPU is a share of one GPU, unless more are named.
    """
    limits = spec.limits
    return Request(
        gpus=spec.gpus or (1 if spec.gpu_memory is not None else 0),
        gpu_memory=spec.gpu_memory,
        cpus=limits.cpus if limits else None,
        memory=limits.memory if limits else None,
        labels=spec.needs,
        user=user_token(spec.user) if spec.fair else "",
    )


def user_token(user: str) -> str:
    """A short word for a user, whatever characters the name has."""
    digest = hashlib.sha256(user.encode()).digest()[:5]
    return base64.b32encode(digest).decode().lower()


_PARTS = re.compile(
    r"(?:g(\d+)-?)?(?:v(\d+)-?)?(?:c(\d+)-?)?(?:m(\d+)-?)?(?:u([a-z2-7]{8})-?)?"
    r"(?:l([a-z2-7]+))?\Z"
)


@lru_cache(4096)
def parse_size(token: str) -> Request:
    """The request that a class stands for; one that this version cannot read asks for nothing."""
    found = _PARTS.match(token)
    if found is None:
        return Request()
    gpus, gpu_memory, cpus, memory, user, labels = found.groups()
    return Request(
        gpus=int(gpus or 0),
        gpu_memory=int(gpu_memory) * MEBI if gpu_memory else None,
        cpus=int(cpus) / 1000 if cpus and int(cpus) else None,
        memory=int(memory) * MEBI if memory else None,
        labels=_decoded(labels) if labels else {},
        user=user or "",
    )


def _milli(cpus: float) -> int:
    # 0.3 is a little more in floats; that is not meant.
    return math.ceil(round(cpus * 1000, 6))


def _mebi(size: int) -> int:
    return -(-size // MEBI)


def _encoded(labels: Mapping[str, str]) -> str:
    text = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
    return base64.b32encode(text.encode()).decode().rstrip("=").lower()


def _decoded(token: str) -> dict[str, str]:
    try:
        text = base64.b32decode(token.upper() + "=" * (-len(token) % 8)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return {}
    return dict(pair.split("=", 1) for pair in text.split(",") if "=" in pair)


# --- what a machine offers ----------------------------------------------------------------------


class Device(msgspec.Struct, frozen=True, omit_defaults=True):
    """A GPU, or an instance of one, as its agent sees it.

    `id` is its UUID, `index` its number in PCI order. `memory` is in bytes, and `free_memory`
    what no attempt of evq has reserved. `held` says that an attempt has it for itself,
    `foreign` who uses it outside evq, `drained` that nothing new may go there, `broken` what is
    wrong with it; the last three are words, empty if all is well.
    """

    id: str
    index: int
    name: str = ""
    memory: int = 0
    free_memory: int = 0
    held: bool = False
    foreign: str = ""
    drained: str = ""
    broken: str = ""

    def takes(self, gpu_memory: int | None) -> bool:
        """Whether a task can have it now, or `gpu_memory` bytes of it."""
        if self.held or self.foreign or self.drained or self.broken:
            return False
        if gpu_memory is None:
            return self.free_memory == self.memory
        return self.free_memory >= gpu_memory


class Offer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an agent has for tasks: all of it, or what is free now."""

    slots: int = 1
    cpus: float = 0.0
    memory: int = 0
    devices: tuple[Device, ...] = ()
    labels: dict[str, str] = {}

    def without(self, request: Request) -> Offer:
        """What is left besides a task that asks for this. Its GPUs are the pool's to tell."""
        return msgspec.structs.replace(
            self,
            slots=self.slots - 1,
            cpus=self.cpus - (request.cpus or 0.0),
            memory=self.memory - (request.memory or 0),
        )


def lacks(request: Request, offer: Offer) -> list[str]:
    """What is missing in `offer` for the request, in words; empty if it fits."""
    found = []
    if offer.slots < 1:
        found.append(NO_SLOT)
    if request.cpus and request.cpus > offer.cpus + 1e-9:
        found.append(f"{request.cpus:g} CPUs, has {max(0.0, offer.cpus):g}")
    if request.memory and request.memory > offer.memory:
        found.append(f"{size_text(request.memory)} of memory, has {_room(offer.memory)}")
    if missing := _lacking_gpus(request, offer.devices):
        found.append(missing)
    for name, value in request.labels.items():
        if offer.labels.get(name) != value:
            has = f", is {offer.labels[name]}" if name in offer.labels else ""
            found.append(f"label {name}={value}{has}")
    return found


def _room(memory: int) -> str:
    return size_text(max(0, memory))


def _lacking_gpus(request: Request, devices: Sequence[Device]) -> str:
    there = sum(device.takes(request.gpu_memory) for device in devices)
    if there >= request.gpus:
        return ""
    what = "GPU" if request.gpus == 1 else "GPUs"
    part = "" if request.gpu_memory is None else f" with {size_text(request.gpu_memory)}"
    return f"{request.gpus} {what}{part}, has {there}"


def gpus_for(request: Request, offer: Offer) -> int:
    """How many GPUs a task with this request could have now."""
    return sum(device.takes(request.gpu_memory) for device in offer.devices)


def delays(request: Request, wanted: Request, free: Offer) -> bool:
    """Whether a task that begins now might make the wanted one wait longer.

    It does not if enough for the wanted one is left of everything that it takes.
    """
    if free.slots < 2:
        return True
    if request.cpus and free.cpus - request.cpus < (wanted.cpus or 0):
        return True
    if request.memory and free.memory - request.memory < (wanted.memory or 0):
        return True
    if not request.gpus or not wanted.gpus:
        return False
    return gpus_for(wanted, free) - request.gpus < wanted.gpus
