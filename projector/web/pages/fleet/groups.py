"""Workers that belong together: by what they do, by their hosts' names, or by a label."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import msgspec

from .....core.words.phrases import count_of
from .picture import Gpu, Worker, mean

BY_STATE, BY_HOST, BY_LABEL = "state", "host", "label:"

NO_LABEL = "–"
"""The group of those without the label."""

_NUMBER = re.compile(r"[-_.]?\d+$")


class Group(msgspec.Struct, frozen=True):
    """Workers of one group, and its name."""

    name: str
    workers: list[Worker]


def kinds(workers: Iterable[Worker]) -> dict[str, str]:
    """In which ways workers can be grouped, and what each is called."""
    labels = sorted({name for one in workers for name in one.labels})
    known = {"": "no groups", BY_STATE: "by state", BY_HOST: "by host"}
    return known | {f"{BY_LABEL}{name}": f"by {name}" for name in labels}


def groups(workers: Iterable[Worker], by: str) -> list[Group]:
    """The workers by group, in the order of their names."""
    found: dict[str, list[Worker]] = {}
    for one in workers:
        found.setdefault(group_of(one, by), []).append(one)
    return [Group(name, found[name]) for name in sorted(found)]


def group_of(worker: Worker, by: str) -> str:
    """The name of a worker's group."""
    if by == BY_STATE:
        return worker.state
    if by == BY_HOST:
        return host_prefix(worker.host or worker.name)
    return worker.labels.get(by.removeprefix(BY_LABEL), NO_LABEL)


def host_prefix(host: str) -> str:
    """What hosts that are numbered have in common: `gpu-a` of `gpu-a017.example.org`."""
    first = host.partition(".")[0]
    return _NUMBER.sub("", first) or first


def sum_of(group: Group) -> Worker:
    """A group as if it were one worker: sums of what is counted, means of what is a share."""
    members = group.workers
    return Worker(
        name=group.name,
        state="",
        queues=tuple(dict.fromkeys(queue for one in members for queue in one.queues)),
        slots=sum(one.slots for one in members),
        gpus=tuple(gpu for one in members for gpu in one.gpus),
        cpu=mean(one.cpu for one in members),
        memory=_sum(one.memory for one in members),
        memory_total=_sum(one.memory_total for one in members if one.memory is not None),
        disk=_sum(one.disk for one in members),
        disk_total=_sum(one.disk_total for one in members if one.disk is not None),
        net_in=_sum(one.net_in for one in members),
        net_out=_sum(one.net_out for one in members),
        temperature=max((one.temperature for one in members if one.temperature), default=None),
    )


def words_of(group: Group) -> str:
    """What a group does: `7 tasks · 12 of 16 GPUs busy · 3 busy, 1 idle`."""
    members = group.workers
    gpus: list[Gpu] = [gpu for one in members for gpu in one.gpus]
    states = Counter(one.state for one in members)
    busy = sum(gpu.state == "busy" for gpu in gpus)
    said = [
        count_of(sum(len(one.running) for one in members), "task"),
        f"{busy} of {count_of(len(gpus), 'GPU')} busy" if gpus else "",
        ", ".join(f"{count} {state}" for state, count in states.most_common()),
    ]
    return " · ".join(filter(None, said))


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
