"""Values of the database as JSON, in parts that fit into a message.

What JSON lacks: a time is RFC 3339 text in UTC (`2026-05-01T12:00:00.000000Z`), a date and a time
of day are ISO text, an interval is a number of seconds, a blob is hexadecimal text, a NaN or an
infinity is the word `nan`, `inf` or `-inf`, and an integer of more than 64 bits is text.
"""

from __future__ import annotations

import datetime
import math
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from ..core.errors import QueryFailed

PART_BYTES = 256 * 1024
ROW_BYTES = 900 * 1024
"""A longer row fits into no message."""

_INTEGERS = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UBIGINT", "UINTEGER"})
_AS_THEY_ARE = _INTEGERS | {"VARCHAR", "JSON", "BOOLEAN", "UTINYINT", "USMALLINT", "UUID"}
_WORDS = 2**64

_encoder = msgspec.json.Encoder(decimal_format="number")


def parts(
    rows: Iterable[Sequence[Any]], types: Sequence[str], size: int = PART_BYTES
) -> Iterator[bytes]:
    """Lists of rows as JSON, each of about `size` bytes. `types` are the columns' types.

    Raises `QueryFailed` for a row that fits into no message.
    """
    special = [number for number, kind in enumerate(types) if kind not in _AS_THEY_ARE]
    encode = _encoder.encode
    chosen: list[bytes] = []
    length = 0
    for row in rows:
        if special:
            row = list(row)
            for number in special:
                row[number] = plain(row[number])
        data = encode(row)
        if len(data) > ROW_BYTES:
            raise QueryFailed(
                f"a row of the answer is too long ({len(data) // 1024} KiB)",
                why=f"a row may have {ROW_BYTES // 1024} KiB",
                fix="select fewer columns, or a part of a text: left(text, 1000)",
            )
        if length + len(data) > size and chosen:
            yield b"[" + b",".join(chosen) + b"]"
            chosen, length = [], 0
        chosen.append(data)
        length += len(data) + 1
    if chosen:
        yield b"[" + b",".join(chosen) + b"]"


def plain(value: Any) -> Any:
    """A value that JSON has, for any that the database has."""
    convert = _CONVERTERS.get(type(value))
    return convert(value) if convert else value


def _float(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _integer(value: int) -> int | str:
    return value if -_WORDS // 2 <= value < _WORDS else str(value)


def _decimal(value: Decimal) -> Decimal | str:
    return value if value.is_finite() else str(value).lower()


def _timestamp(value: datetime.datetime) -> str:
    if value.tzinfo:
        value = value.astimezone(datetime.UTC).replace(tzinfo=None)
    return value.isoformat(timespec="microseconds") + "Z"


def _list(values: Iterable[Any]) -> list[Any]:
    return [plain(value) for value in values]


def _mapping(values: dict[Any, Any]) -> dict[str, Any]:
    return {str(plain(key)): plain(value) for key, value in values.items()}


_CONVERTERS: dict[type, Callable[[Any], Any]] = {
    float: _float,
    int: _integer,
    Decimal: _decimal,
    datetime.datetime: _timestamp,
    datetime.date: datetime.date.isoformat,
    datetime.time: datetime.time.isoformat,
    datetime.timedelta: datetime.timedelta.total_seconds,
    bytes: bytes.hex,
    bytearray: bytearray.hex,
    memoryview: memoryview.hex,
    uuid.UUID: str,
    list: _list,
    tuple: _list,
    dict: _mapping,
}
