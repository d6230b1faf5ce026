"""What a record says in numbers: points of metrics, and the parameters of a session."""

from __future__ import annotations

import math
import struct
from typing import Any

from ...reporting.channel import Value, Words, plain
from .messages import Event, HParams, Undecodable

LONGEST_NAME = 250
LONGEST_VALUE = 8000
LATEST = 2**40
"""Seconds; no clock shows more."""

# TensorFlow's numbers for types, with how `struct` reads them and the field that holds them else.
_TYPES = {
    1: ("<f", "float"),
    2: ("<d", "double"),
    3: ("<i", "int"),
    4: ("<B", "int"),
    5: ("<h", "int"),
    6: ("<b", "int"),
    9: ("<q", "int64"),
    10: ("<?", "bool"),
    14: ("bfloat16", "half"),
    19: ("<e", "half"),
}


class Scalars:
    """Reads the records of one file, in their order."""

    def __init__(self, prefix: str) -> None:
        """`prefix` is what stands before the names of metrics."""
        self._prefix = prefix
        self._plugins: dict[bytes, bytes] = {}
        """What a tag is for: writers may say it with the first point only."""

    def words(self, record: bytes) -> Words | None:
        """What a record says; None if nothing that evq keeps."""
        try:
            event = Event.FromString(record)
        except Undecodable:
            return None
        metrics: dict[str, Value] = {}
        params: dict[str, str] = {}
        for value in event.summary.value:
            plugin = self._plugin(value)
            if plugin == b"hparams":
                params |= _hparams(value.metadata.plugin.content)
            elif (number := _number(value, plugin)) is not None:
                name = self._prefix + value.tag.decode(errors="replace")
                if name and len(name) <= LONGEST_NAME:
                    metrics[name] = number
        if not metrics and not params:
            return None
        at = int(event.wall_time * 1e6) if 0 < event.wall_time < LATEST else None
        return Words(at=at, step=event.step, metrics=metrics or None, params=params or None)

    def _plugin(self, value: Any) -> bytes:
        if value.metadata.plugin.name:
            name: bytes = value.metadata.plugin.name
            self._plugins[value.tag] = name
            return name
        return self._plugins.get(value.tag, b"")


def _number(value: Any, plugin: bytes) -> Value | None:
    if value.HasField("simple_value"):
        return plain(value.simple_value)
    if plugin != b"scalars" or math.prod(dim.size for dim in value.tensor.shape.dim) != 1:
        return None
    form, field = _TYPES.get(value.tensor.dtype, ("", ""))
    if not field:
        return None
    held = getattr(value.tensor, field)
    try:
        if len(held):
            return plain(_half(form, held[0]) if field == "half" else held[0])
        return plain(_unpacked(form, value.tensor.content))
    except struct.error:
        return None


def _half(form: str, bits: int) -> float:
    """A number of two bytes, which protobuf holds as an integer."""
    return _unpacked(form, struct.pack("<H", bits & 0xFFFF))


def _unpacked(form: str, content: bytes) -> float:
    if form == "bfloat16":
        form, content = "<f", b"\0\0" + content
    (number,) = struct.unpack(form, content)
    return float(number)


def _hparams(content: bytes) -> dict[str, str]:
    try:
        given = HParams.FromString(content).started.hparams
    except Undecodable:
        return {}
    named = {one.key.decode(errors="replace"): _text(one.value) for one in given}
    return {
        name: value[:LONGEST_VALUE]
        for name, value in named.items()
        if 0 < len(name) <= LONGEST_NAME
    }


def _text(value: Any) -> str:
    if value.HasField("number"):
        return f"{value.number:.15g}"
    if value.HasField("truth"):
        return str(value.truth)
    text: str = value.text.decode(errors="replace")
    return text
