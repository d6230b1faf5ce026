"""The spec of each member of an array, made of the one that was asked for."""

from __future__ import annotations

from msgspec.structs import replace

from ..spec import Command, Entry, Inline, Module, Notebook, Script, Spec
from .array import Array, with_index


def member_spec(spec: Spec, array: Array) -> Spec:
    """The member's spec: `{index}` in its name, in its arguments, in the values of its parameters
    and variables is its index. No other braces mean anything."""
    index = array.index
    return replace(
        spec,
        array=array,
        entry=_entry(spec.entry, index),
        name=with_index(spec.name, index),
        params={name: with_index(value, index) for name, value in spec.params.items()},
        variables={name: with_index(value, index) for name, value in spec.variables.items()},
    )


def _entry(entry: Entry, index: int) -> Entry:
    match entry:
        case Script(path, args):
            return Script(path, _words(args, index))
        case Module(name, args):
            return Module(name, _words(args, index))
        case Command(argv):
            return Command(_words(argv, index))
        case Inline(text, args):
            return Inline(text, _words(args, index))
        case Notebook():
            return entry


def _words(words: tuple[str, ...], index: int) -> tuple[str, ...]:
    return tuple(with_index(word, index) for word in words)
