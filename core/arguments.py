"""A command line as named arguments, and one of them rewritten while the rest stays as it is.

Nobody tells us which parser will read the words, so they are read by what all parsers agree on:
`--lr 0.1`, `--lr=0.1`, `-x 3`, `--amp` and `--no-amp` (argparse, Click, Typer, Fire), and
`lr=0.1`, `+a.b=c`, `~x` (Hydra). Words that follow an option are its values as long as they are
of one kind, numbers or text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from posixpath import basename
from typing import Literal

import msgspec

Form = Literal["flag", "negation", "apart", "joined", "key", "deletion"]
"""`--amp`, `--no-amp`, `--lr 0.1`, `--lr=0.1` (also `-x3`), `lr=0.1`, `~lr`."""

NUMBER = re.compile(r"[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\Z")

_OPTION = re.compile(r"(--?)([A-Za-z][\w.:/-]*)(?:=(.*))?\Z", re.DOTALL)
_ATTACHED = re.compile(r"-([A-Za-z])([-+]?[\d.].*)\Z")
_KEY = re.compile(r"(\+{0,2}|~)([A-Za-z_][\w./@:-]*)=(.*)\Z", re.DOTALL)
_DELETION = re.compile(r"~([A-Za-z_][\w./@:-]*)\Z")
_PYTHON = re.compile(r"(?:python|pypy)[\d.]*\Z")


class Argument(msgspec.Struct, frozen=True):
    """A named argument: the words from `start` to `stop`, beginning with `head`, hold `values`.

    `head` is what the value follows: `--lr`, `--lr=`, `-x`, `+a.b=`.
    """

    name: str
    form: Form
    head: str
    values: tuple[str, ...]
    start: int
    stop: int


def folded(name: str) -> str:
    """The name as it is compared: `learning-rate` and `learning_rate` are one."""
    return name.lstrip("-").replace("-", "_")


def is_number(word: str) -> bool:
    """Whether the word is a number, also one such as `-3`, which is then no option."""
    return NUMBER.match(word) is not None


def read(words: Sequence[str]) -> list[Argument]:
    """The named arguments among `words`, in order. Words that belong to none are left out."""
    return list(_read(words))


def _read(words: Sequence[str]) -> Iterator[Argument]:
    at = 0
    while at < len(words):
        found = _option(words, at) or _key(words[at], at)
        if found:
            yield found
        at = found.stop if found else at + 1


def _option(words: Sequence[str], at: int) -> Argument | None:
    word = words[at]
    if is_number(word):
        return None
    if attached := _ATTACHED.match(word):
        if is_number(attached[2]):
            return Argument(attached[1], "joined", f"-{attached[1]}", (attached[2],), at, at + 1)
        return None
    option = _OPTION.match(word)
    if option is None:
        return None
    dashes, written, value = option.groups()
    name = folded(written)
    if value is not None:
        return Argument(name, "joined", f"{dashes}{written}=", (value,), at, at + 1)
    values = _values(words, at + 1)
    if values:
        return Argument(name, "apart", word, values, at, at + 1 + len(values))
    if dashes == "--" and name.startswith("no_") and len(name) > 3:
        return Argument(name[3:], "negation", word, (), at, at + 1)
    return Argument(name, "flag", word, (), at, at + 1)


def _is_option(word: str) -> bool:
    """Whether the word, standing alone, would be read as an option; a bare `-` is a file's name."""
    return word.startswith("-") and len(word) > 1 and not is_number(word)


def _values(words: Sequence[str], at: int) -> tuple[str, ...]:
    """The words from `at` on that are values: all numbers, or all text."""
    found: list[str] = []
    for word in words[at:]:
        number = is_number(word)
        if _is_option(word) or _key(word, 0):
            break
        if found and number != is_number(found[0]):
            break
        found.append(word)
    return tuple(found)


def _key(word: str, at: int) -> Argument | None:
    if deletion := _DELETION.match(word):
        return Argument(deletion[1], "deletion", word, (), at, at + 1)
    key = _KEY.match(word)
    if key is None or "//" in key[2]:  # an address is no key
        return None
    return Argument(key[2], "key", f"{key[1]}{key[2]}=", (key[3],), at, at + 1)


def program_length(argv: Sequence[str]) -> int:
    """How many words of a command say what runs: `python -u train.py` are three."""
    if not argv or not _PYTHON.match(basename(argv[0])):
        return 1
    for at, word in enumerate(argv[1:], 1):
        if word in ("-m", "-c"):
            return at + 2
        if not word.startswith("-"):
            return at + 1
    return len(argv)


def written(argument: Argument, values: Sequence[str]) -> tuple[str, ...]:
    """The words of `argument` with other values."""
    match argument.form:
        case "apart" | "flag":
            if len(values) == 1 and _is_option(values[0]):
                return (f"{argument.head}={values[0]}",)  # alone it would be another option
            return (argument.head, *values)
        case "negation":
            return (argument.head.replace("no-", "", 1).replace("no_", "", 1), *values)
        case "joined" | "key":
            return (argument.head + " ".join(values),)
        case "deletion":
            return (f"{argument.name}={' '.join(values)}",)


def replaced(
    words: Sequence[str], old: Sequence[Argument], new: Sequence[Sequence[str]]
) -> tuple[str, ...]:
    """`words` with the words `new` in the places of `old`.

    Where there are fewer new ones the rest is taken out; more of them follow the last.
    """
    places = list(new[: len(old)]) + [()] * (len(old) - len(new))
    if len(new) > len(old):
        places[-1] = [word for one in new[len(old) - 1 :] for word in one]
    result, at = list[str](), 0
    for argument, place in zip(old, places, strict=True):
        result += [*words[at : argument.start], *place]
        at = argument.stop
    return (*result, *words[at:])
