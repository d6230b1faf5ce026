"""A batch of samples, looked at one by one: which can be written, and which are strange."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ...core import wire
from ...core.fleet.samples import Sample, uneven
from ...core.ports import Stored
from ...core.subjects import SAMPLES_STREAM, parse_samples
from ...core.wire import Broken
from ..fold import Strange, dead_letter
from ..rows import DeadLetter


class Seen(msgspec.Struct):
    """What a batch holds: (sequence, the message's JSON), each agent's last, and dead letters."""

    samples: list[tuple[int, str]] = []
    latest: dict[str, int] = {}
    dead: list[DeadLetter] = []


def sort_samples(messages: Sequence[Stored], seen: int) -> Seen:
    """Sort the messages; `seen` (microseconds) is the time that dead letters get."""
    found = Seen()
    for stored in messages:
        try:
            sample = read(stored)
        except Strange as strange:
            found.dead.append(dead_letter(SAMPLES_STREAM, stored, str(strange), seen))
            continue
        found.samples.append((stored.seq, stored.data.decode(errors="replace")))
        found.latest[sample.agent] = stored.seq
    return found


def read(stored: Stored) -> Sample:
    """The sample in a message. Raises `Strange`."""
    sample = wire.decode_sample(stored.data)
    if isinstance(sample, Broken):
        raise Strange(sample.error)
    if parse_samples(stored.subject) != sample.agent:
        raise Strange(f"it speaks for {sample.agent}")
    if uneven(sample):
        raise Strange("its columns are not of equal length")
    return sample
