"""Bytes and events: the one place that knows the format, and what to do with strange bytes.

The format is JSON. Policy for what this version cannot read:

- unknown *fields* are ignored: a newer writer may say more;
- an unknown *kind*, or an envelope version above ours, becomes `Unknown`: it is folded as "seen,
  not understood", and whoever has to decide about that task refuses and asks for an upgrade;
- bytes that are no envelope at all become `Broken`: the projector keeps them as dead letters.

Nothing here raises on strange bytes: history is what it is.
"""

from __future__ import annotations

import msgspec

from .events import Envelope, Event, Telemetry
from .fleet.samples import Sample

VERSION = 1


class Unknown(msgspec.Struct, frozen=True):
    """An event from a newer writer. `kind` and `v` are what it says of itself."""

    id: str
    at: int
    by: str
    kind: str
    v: int


class Broken(msgspec.Struct, frozen=True):
    """Bytes that are no event. `error` says what is wrong with them."""

    error: str


class _Kind(msgspec.Struct):
    kind: str


class _Outline(msgspec.Struct):
    id: str
    at: int
    by: str
    event: _Kind
    v: int = 1


# Bytes that are no UTF-8 are not a DecodeError for msgspec.
_STRANGE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_encoder = msgspec.json.Encoder()
_envelope = msgspec.json.Decoder(Envelope)
_outline = msgspec.json.Decoder(_Outline)
_telemetry: msgspec.json.Decoder[Telemetry] = msgspec.json.Decoder(Telemetry)
_sample = msgspec.json.Decoder(Sample)


def encode(envelope: Envelope) -> bytes:
    """The envelope as bytes."""
    return _encoder.encode(envelope)


def decode(data: bytes) -> Envelope | Unknown | Broken:
    """The envelope in `data`, by the policy above."""
    try:
        envelope = _envelope.decode(data)
    except _STRANGE as error:
        return _decode_outline(data, error)
    if envelope.v > VERSION:
        return _decode_outline(data, None)
    return envelope


def _decode_outline(data: bytes, error: Exception | None) -> Unknown | Broken:
    """Tell an event from the future from plain garbage, by the outline that never changes."""
    try:
        seen = _outline.decode(data)
    except _STRANGE:
        return Broken(str(error))
    if error is not None and seen.v <= VERSION and seen.event.kind in KINDS:
        return Broken(str(error))
    return Unknown(seen.id, seen.at, seen.by, seen.event.kind, seen.v)


def encode_telemetry(record: Telemetry) -> bytes:
    """The telemetry record as bytes."""
    return _encoder.encode(record)


def decode_telemetry(data: bytes) -> Telemetry | Broken:
    """The telemetry record in `data`; anything else is `Broken`, unknown kinds too."""
    try:
        return _telemetry.decode(data)
    except _STRANGE as error:
        return Broken(str(error))


def encode_sample(sample: Sample) -> bytes:
    """The sample as bytes."""
    return _encoder.encode(sample)


def decode_sample(data: bytes) -> Sample | Broken:
    """The sample in `data`; anything else is `Broken`."""
    try:
        return _sample.decode(data)
    except _STRANGE as error:
        return Broken(str(error))


KINDS = frozenset(str(kind.__struct_config__.tag) for kind in Event.__args__)
"""The kinds of event that this version can read."""
