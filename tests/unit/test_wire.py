"""Bytes and events: every kind there and back, and strange bytes without a raise."""

from __future__ import annotations

import json
import typing
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evq.core import artifacts, events, journal, retention, saved_queries, telemetry, wire
from evq.core.arrays import turns
from evq.core.cleaning import cleaned
from evq.core.events import Envelope, Event, Telemetry
from evq.core.filing import filed
from evq.core.fleet import agents
from evq.core.queueing import permits, queues
from evq.core.wire import Broken, Unknown

# JSON has no NaN, no infinity and no lone surrogate; whoever writes does not have them either.
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
INTEGERS = st.integers(-(2**63), 2**63 - 1)


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Whatever may stand in a field of this type."""
    if kind is float:
        return FLOATS
    if kind is str:
        return TEXT
    if kind is int:
        return INTEGERS
    if kind is Any:
        plain = st.none() | st.booleans() | INTEGERS | FLOATS | TEXT
        return st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return structs(kind)
    arguments = typing.get_args(kind)
    match typing.get_origin(kind):
        case None:
            return st.from_type(kind)
        case typing.Literal:
            return st.sampled_from(arguments)
        case origin if origin is tuple:
            return st.lists(values(arguments[0]), max_size=3).map(tuple)
        case origin if origin is dict:
            return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=3)
        case _:
            return st.one_of([values(argument) for argument in arguments])


def structs(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    fields = msgspec.structs.fields(kind)
    return st.builds(
        kind, **{field.name: st.deferred(lambda f=field: values(f.type)) for field in fields}
    )


EVENTS = {kind.__name__: kind for kind in typing.get_args(Event)}
TELEMETRY = {kind.__name__: kind for kind in typing.get_args(Telemetry)}


MODULES = (
    agents,
    artifacts,
    cleaned,
    events,
    filed,
    journal,
    permits,
    queues,
    retention,
    saved_queries,
    telemetry,
    turns,
)


def test_no_kind_is_forgotten() -> None:
    """Every tagged Struct of the module is in one of the unions."""
    tagged = {
        name
        for module in MODULES
        for name, kind in vars(module).items()
        if isinstance(kind, type)
        and issubclass(kind, msgspec.Struct)
        and kind.__struct_config__.tag is not None
        and kind.__module__ == module.__name__
    }
    assert tagged == EVENTS.keys() | TELEMETRY.keys()
    tags = [kind.__struct_config__.tag for kind in (*EVENTS.values(), *TELEMETRY.values())]
    assert len(set(tags)) == len(tags) and {tag for tag in tags[: len(EVENTS)]} == wire.KINDS


@pytest.mark.parametrize("name", EVENTS)
@given(data=st.data())
def test_every_event_there_and_back(name: str, data: st.DataObject) -> None:
    event = data.draw(structs(EVENTS[name]))
    envelope = Envelope(id=data.draw(TEXT), at=data.draw(INTEGERS), by=data.draw(TEXT), event=event)
    assert wire.decode(wire.encode(envelope)) == envelope


@pytest.mark.parametrize("name", TELEMETRY)
@given(data=st.data())
def test_every_telemetry_record_there_and_back(name: str, data: st.DataObject) -> None:
    record = data.draw(structs(TELEMETRY[name]))
    assert wire.decode_telemetry(wire.encode_telemetry(record)) == record


@pytest.mark.parametrize("name", EVENTS)
@given(data=st.data())
def test_a_newer_writer_may_say_more(name: str, data: st.DataObject) -> None:
    """Unknown fields are ignored, wherever they stand."""
    event = data.draw(structs(EVENTS[name]))
    envelope = Envelope(id="i", at=1, by="b", event=event)

    def say_more(value: Any) -> Any:
        if isinstance(value, dict) and ("kind" in value or "event" in value or "wall" in value):
            return {"newer": [1], **{key: say_more(part) for key, part in value.items()}}
        return value

    more = say_more(json.loads(wire.encode(envelope)))
    assert wire.decode(json.dumps(more).encode()) == envelope


def outline(**changes: Any) -> bytes:
    message = {"id": "i", "at": 1, "by": "b", "event": {"kind": "aborted", "reason": "r"}}
    return json.dumps(message | changes).encode()


def test_an_unknown_kind_is_known_to_be_unknown() -> None:
    data = outline(event={"kind": "paused", "until": 5})
    assert wire.decode(data) == Unknown("i", 1, "b", "paused", 1)


@pytest.mark.parametrize("event", [{"kind": "aborted", "reason": "r"}, {"kind": "aborted"}])
def test_a_later_version_is_unknown_even_if_it_looks_familiar(event: Any) -> None:
    assert wire.decode(outline(v=2, event=event)) == Unknown("i", 1, "b", "aborted", 2)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"{}",
        b"[1]",
        b"\xff\xfe",
        b"{" * 5000,
        b"[" * 100_000,
        outline(id=5),
        outline(event="aborted"),
        outline(event={"kind": "aborted"}),
        outline(event={"kind": "claimed", "attempt": "one"}),
        outline()[:-1],
        outline() + b"x",
    ],
)
def test_garbage_is_broken(data: bytes) -> None:
    found = wire.decode(data)
    assert isinstance(found, Broken) and found.error


@given(st.binary(max_size=200))
def test_no_bytes_raise(data: bytes) -> None:
    assert isinstance(wire.decode(data), Envelope | Unknown | Broken)
    wire.decode_telemetry(data)


@given(
    st.recursive(
        st.none() | st.booleans() | INTEGERS | TEXT,
        lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    )
)
def test_no_json_raises(value: Any) -> None:
    wire.decode(json.dumps(value).encode())
    wire.decode(outline(event=value))
    wire.decode_telemetry(json.dumps(value).encode())


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", 0.1, -0.0, 1e308])
def test_numbers_that_json_lacks_are_words(value: Any) -> None:
    metric = events.Metric(
        attempt=1, claim=2, at=(3,), name=("loss",), step=(None,), value=(value,)
    )
    (back,) = wire.decode_telemetry(wire.encode_telemetry(metric)).value  # type: ignore[union-attr]
    assert back == value and isinstance(float(back), float)


def test_telemetry_of_a_kind_from_the_future_is_broken() -> None:
    assert isinstance(wire.decode_telemetry(b'{"kind": "trace"}'), Broken)
