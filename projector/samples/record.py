"""A batch of samples, looked at one by one: which can be written, and which are strange."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ...core import wire
from ...core.ports import Stored
from ...core.samples import uneven
from ...core.subjects import SAMPLES_STREAM, parse_samples
from ...core.wire import Broken
from ..fold import dead_letter
from ..rows import DeadLetter


class Seen(msgspec.Struct):
    """What a batch holds: (sequence, the message's JSON), and dead letters."""

    samples: list[tuple[int, str]] = []
    dead: list[DeadLetter] = []


def sort_samples(messages: Sequence[Stored], seen: int) -> Seen:
    """Sort the messages; `seen` (microseconds) is the time that dead letters get."""
    sorted_out = Seen()
    for stored in messages:
        if error := _strange(stored):
            sorted_out.dead.append(dead_letter(SAMPLES_STREAM, stored, error, seen))
        else:
            sorted_out.samples.append((stored.seq, stored.data.decode(errors="replace")))
    return sorted_out


def _strange(stored: Stored) -> str:
    """Why a message is no sample; empty if it is one."""
    sample = wire.decode_sample(stored.data)
    if isinstance(sample, Broken):
        return sample.error
    if parse_samples(stored.subject) != sample.agent:
        return f"it speaks for {sample.agent}"
    return "its columns are not of equal length" if uneven(sample) else ""
