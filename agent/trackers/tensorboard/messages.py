"""The few fields of TensorBoard's messages that say something about a number.

They are declared here, by the numbers of their public definition, rather than brought along with
a package of hundreds of megabytes; what is not declared is passed over by the parser.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError as Undecodable

__all__ = ["Event", "HParams", "Undecodable"]

_Kind = descriptor_pb2.FieldDescriptorProto
_MANY = _Kind.LABEL_REPEATED

# Names are bytes: a text that is no UTF-8 would make its whole message unreadable.
_FIELDS: dict[str, dict[str, tuple[int, int | str] | tuple[int, int | str, int]]] = {
    "Event": {
        "wall_time": (1, _Kind.TYPE_DOUBLE),
        "step": (2, _Kind.TYPE_INT64),
        "summary": (5, "Summary"),
    },
    "Summary": {"value": (1, "Value", _MANY)},
    "Value": {
        "tag": (1, _Kind.TYPE_BYTES),
        "simple_value": (2, _Kind.TYPE_FLOAT),
        "tensor": (8, "Tensor"),
        "metadata": (9, "Metadata"),
    },
    "Metadata": {"plugin": (1, "Plugin")},
    "Plugin": {"name": (1, _Kind.TYPE_BYTES), "content": (2, _Kind.TYPE_BYTES)},
    "Tensor": {
        "dtype": (1, _Kind.TYPE_INT32),
        "shape": (2, "Shape"),
        "content": (4, _Kind.TYPE_BYTES),
        "float": (5, _Kind.TYPE_FLOAT, _MANY),
        "double": (6, _Kind.TYPE_DOUBLE, _MANY),
        "int": (7, _Kind.TYPE_INT32, _MANY),
        "int64": (10, _Kind.TYPE_INT64, _MANY),
        "bool": (11, _Kind.TYPE_BOOL, _MANY),
        "half": (13, _Kind.TYPE_INT32, _MANY),
    },
    "Shape": {"dim": (2, "Dimension", _MANY)},
    "Dimension": {"size": (1, _Kind.TYPE_INT64)},
    "HParams": {"started": (3, "SessionStart")},
    "SessionStart": {"hparams": (1, "HParam", _MANY)},
    "HParam": {"key": (1, _Kind.TYPE_BYTES), "value": (2, "Anything")},
    "Anything": {
        "number": (2, _Kind.TYPE_DOUBLE),
        "text": (3, _Kind.TYPE_BYTES),
        "truth": (4, _Kind.TYPE_BOOL),
    },
}


def _declared() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="evq.proto", package="evq", syntax="proto2")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, *label) in fields.items():
            declared = message.field.add(name=field, number=number)
            declared.label = label[0] if label else _Kind.LABEL_OPTIONAL
            if isinstance(kind, str):
                declared.type, declared.type_name = _Kind.TYPE_MESSAGE, f".evq.{kind}"
            else:
                declared.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


_pool = _declared()


def _message(name: str) -> Any:
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"evq.{name}"))


Event: Any = _message("Event")
HParams: Any = _message("HParams")
