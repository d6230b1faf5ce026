"""What a task was started with, as parameters, and how another value takes the place of one.

A parameter stands on the command line, in `--set` (evq's own: `evq.params` in the task) or in
the environment. `read` finds them all; `override` rewrites one where it stands. Nothing is kept
beside the spec, so the parameters of a task are always those that it really ran with.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from msgspec.structs import replace

from .arguments import Argument, folded, is_number, program_length, replaced, written
from .arguments import read as read_arguments
from .errors import UsageError
from .spec import Command, Entry, Inline, Module, Notebook, Script, Spec

Scalar = str | int | float | bool | None
Value = Scalar | tuple[Scalar, ...]
Where = Literal["option", "positional-key", "param", "environment"]

KINDS: dict[type, str] = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "text",
    tuple: "list",
    type(None): "none",
}
_WORDS = {"true": True, "yes": True, "on": True, "1": True}
_WORDS |= {"false": False, "no": False, "off": False, "0": False}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][\d_]{0,17})\Z")
_LEADING_ZERO = re.compile(r"[-+]?0\d")


class Parameter(msgspec.Struct, frozen=True):
    """A name, its value as its type, and where it stands.

    `type` is one of bool, int, float, text, list, none (a key that Hydra is told to delete).
    """

    name: str
    value: Value
    where: Where
    type: str


def read(spec: Spec) -> list[Parameter]:
    """The parameters of a task, in the order in which they are looked for by name."""
    found: dict[str, list[Argument]] = {}
    for argument in read_arguments(arguments_of(spec.entry)):
        found.setdefault(argument.name, []).append(argument)
    return [
        *(_from_arguments(name, same) for name, same in found.items()),
        *(_parameter(name, typed(text), "param") for name, text in spec.params.items()),
        *(_parameter(name, typed(text), "environment") for name, text in spec.variables.items()),
    ]


def values(spec: Spec) -> dict[str, Value]:
    """What `evq.params` holds in the task: the parameters but for the environment."""
    return {one.name: one.value for one in read(spec) if one.where != "environment"}


def _parameter(name: str, value: Value, where: Where) -> Parameter:
    return Parameter(name, value, where, KINDS[type(value)])


def _from_arguments(name: str, same: Sequence[Argument]) -> Parameter:
    where: Where = "positional-key" if same[0].form in ("key", "deletion") else "option"
    if len(same) == 1:
        return _parameter(name, _value(same[0]), where)
    parts = (_value(one) for one in same)
    flat = (item for part in parts for item in (part if isinstance(part, tuple) else (part,)))
    return _parameter(name, tuple(flat), where)


def _value(argument: Argument) -> Value:
    match argument.form:
        case "flag":
            return True
        case "negation":
            return False
        case "deletion":
            return None
        case "apart" | "joined" | "key":
            if len(argument.values) == 1:
                return typed(argument.values[0])
            return tuple(_scalar(word) for word in argument.values)


def typed(text: str) -> Value:
    """The text as the value that it reads as: `3`, `0.1`, `true`, `[1, 2]`, else itself."""
    if text[:1] == "[" and text[-1:] == "]" and not re.search(r"[\[\]{}]", text[1:-1]):
        return tuple(_scalar(item) for item in _items(text[1:-1]))
    return _scalar(text)


def _scalar(text: str) -> Scalar:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    # 007 is a name, and so is a number that JSON cannot hold.
    if not is_number(text) or _LEADING_ZERO.match(text):
        return text
    if _INTEGER.match(text):
        return int(text)
    number = float(text)
    return number if math.isfinite(number) and not text.lstrip("+-").isdigit() else text


def _items(text: str) -> list[str]:
    return [item.strip().strip("'\"") for item in text.split(",") if item.strip()]


# --- the command line of an entry -------------------------------------------------------------


def arguments_of(entry: Entry) -> tuple[str, ...]:
    """The words of an entry behind what says which program runs."""
    match entry:
        case Script(_, args) | Module(_, args) | Inline(_, args):
            return args
        case Notebook():
            return ()
        case Command(argv):
            return argv[program_length(argv) :]


def with_arguments(entry: Entry, args: Sequence[str]) -> Entry:
    """The entry with other words behind what says which program runs."""
    match entry:
        case Notebook():
            return entry  # it has no command line, and so no arguments that could be changed
        case Script() | Module() | Inline():
            return replace(entry, args=tuple(args))
        case Command(argv):
            return Command((*argv[: program_length(argv)], *args))


# --- override ---------------------------------------------------------------------------------


def knows(spec: Spec, name: str) -> bool:
    """Whether `name` is one of the task's parameters."""
    return any(_same(one.name, name) or _negated(spec, name) for one in read(spec))


def override(spec: Spec, changes: Mapping[str, str], *, force: bool = False) -> Spec:
    """`spec` with other values for parameters that it has, each rewritten where it stands.

    A name on the command line goes before one of `--set`, that before the environment. Raises
    `UsageError` for a name that is not there, and, without `force`, for a value of another type.
    """
    for name, text in changes.items():
        spec = _override(spec, name, text, force)
    return spec


def _override(spec: Spec, name: str, text: str, force: bool) -> Spec:
    args = arguments_of(spec.entry)
    if _negated(spec, name):
        name, text = folded(name)[3:], _inverted(name, text)
    if same := [one for one in read_arguments(args) if _same(one.name, name)]:
        new = _rewritten(same, _Wish(name, text, force))
        return replace(spec, entry=with_arguments(spec.entry, replaced(args, same, new)))
    for field in ("params", "variables"):
        kept: dict[str, str] = getattr(spec, field)
        for known, old in kept.items():
            if _same(known, name):
                fitted = _fitted(typed(old), old, _Wish(known, text, force))
                return replace(spec, **{field: kept | {known: fitted}})
    raise unknown(spec, name, text)


def _same(one: str, other: str) -> bool:
    return folded(one) == folded(other)


def _negated(spec: Spec, name: str) -> bool:
    """Whether `name` is written `no-amp` and the command line holds `--no-amp`."""
    bare = folded(name)
    return bare.startswith("no_") and any(
        one.form == "negation" and one.name == bare[3:]
        for one in read_arguments(arguments_of(spec.entry))
    )


def _inverted(name: str, text: str) -> str:
    wish = _Wish(name, text, False)
    return "false" if _truth(wish) else "true"


class _Wish(msgspec.Struct, frozen=True):
    """What somebody typed: a name, a value, and whether its type may change."""

    name: str
    text: str
    force: bool


def _rewritten(same: Sequence[Argument], wish: _Wish) -> list[tuple[str, ...]]:
    """The words of all arguments of one name after the wish."""
    first = same[0]
    if first.form in ("flag", "negation") and not (wish.force and wish.text.lower() not in _WORDS):
        return _switched(first, _truth(wish))
    if len(same) > 1:
        items = _listed(wish.text)
        old = [word for one in same for word in one.values]
        return [written(same[-1], _fit_all(old, items, wish)[n : n + 1]) for n in range(len(items))]
    if len(first.values) > 1:
        return [written(first, _of_many(first, wish))]
    if not first.values:
        return [written(first, [wish.text])]
    (old_text,) = first.values
    _check_no_flag(first, old_text, wish)
    return [written(first, [_fitted(typed(old_text), old_text, wish)])]


def _check_no_flag(argument: Argument, old: str, wish: _Wish) -> None:
    """`--amp data.csv` may be a flag and a file: to switch it off must not lose the file."""
    switched = wish.text.lower() in ("true", "false") and not wish.force
    if switched and argument.form == "apart" and isinstance(_scalar(old), str):
        raise UsageError(
            f"it is not clear what {wish.name}={wish.text} is to do",
            why=f"{argument.head} {old}: if {wish.name} is a flag, {old} is no value of it",
            fix="write the whole command anew: evq clone TASK -- …, "
            f"or --force to put {wish.text} in the place of {old}",
        )


def _switched(flag: Argument, on: bool) -> list[tuple[str, ...]]:
    """A flag that is told to be off is taken out: that `--no-amp` exists is only known where
    somebody wrote it."""
    if flag.form == "negation":
        return [written(flag, ())] if on else [(flag.head,)]
    return [(flag.head,)] if on else []


def _of_many(argument: Argument, wish: _Wish) -> tuple[str, ...]:
    """Other values for an option that is followed by several words."""
    items = _listed(wish.text)
    bracketed = wish.text[:1] == "[" and wish.text[-1:] == "]"
    if len(items) == 1 and not bracketed and not is_number(argument.values[0]):
        shown = " ".join(argument.values)
        raise UsageError(
            f"it is not clear which word {wish.name}={wish.text} is to replace",
            why=f"{len(argument.values)} words stand after {argument.head}: {shown}",
            fix=f"--set '{wish.name}=[{wish.text}]' for all of them, "
            f"--set '{wish.name}={wish.text} {' '.join(argument.values[1:])}' for the first",
        )
    return _fit_all(argument.values, items, wish)


def _listed(text: str) -> list[str]:
    """The items of `[1, 2]`, `1,2` or `1 2`."""
    if text[:1] == "[" and text[-1:] == "]":
        return _items(text[1:-1])
    by_comma = _items(text)
    if len(by_comma) > 1 and all(map(is_number, by_comma)):
        return by_comma
    return text.split() or [text]


def _fit_all(old: Sequence[str], items: Sequence[str], wish: _Wish) -> tuple[str, ...]:
    """The items, each as the type that all of the old ones had."""
    if not old:
        return tuple(items)
    model = next((word for word in old if isinstance(_scalar(word), str)), None)
    model = model or next((word for word in old if isinstance(_scalar(word), float)), old[0])
    return tuple(
        _fitted(_scalar(model), model, _Wish(wish.name, item, wish.force)) for item in items
    )


def _fitted(old: Value, old_text: str, wish: _Wish) -> str:
    """What is written in the place of `old_text`. Raises `UsageError` for another type."""
    if wish.force:
        return wish.text
    new = typed(wish.text)
    match old:
        case bool():
            return _in_style("true" if _truth(wish) else "false", old_text)
        case int():
            if isinstance(new, int) and not isinstance(new, bool):
                return wish.text
            raise _wrong_type(wish, old_text, "an integer")
        case float():
            if isinstance(new, int) and not isinstance(new, bool):
                return f"{wish.text}.0"
            if isinstance(new, float) or wish.text.lower() in ("nan", "inf", "-inf"):
                return wish.text
            raise _wrong_type(wish, old_text, "a number")
        case tuple():
            words = _items(old_text[1:-1])
            items = _listed(wish.text)
            return f"[{','.join(_fit_all(words, items, wish))}]"
        case str() | None:
            return wish.text


def _truth(wish: _Wish) -> bool:
    word = wish.text.lower()
    if word in _WORDS:
        return _WORDS[word]
    raise UsageError(
        f"{wish.name} cannot be {wish.text!r}",
        why=f"{wish.name} is on or off",
        fix=f"--set {wish.name}=true, or --set {wish.name}=false",
    )


def _in_style(word: str, old: str) -> str:
    return word.capitalize() if old[:1].isupper() else word


def _wrong_type(wish: _Wish, old: str, kind: str) -> UsageError:
    return UsageError(
        f"{wish.name} cannot be {wish.text!r}",
        why=f"it was {old}, {kind}",
        fix=f"--set {wish.name}={old}, or, if it takes {wish.text}: "
        f"--force --set {wish.name}={wish.text}",
    )


def unknown(spec: Spec, name: str, text: str) -> UsageError:
    """The error for a name that is no parameter, with the nearest that is one."""
    import difflib  # 25 ms that only a mistake pays

    known = [one.name for one in read(spec)]
    near = difflib.get_close_matches(folded(name), [*map(folded, known)], n=1)
    nearest = next((one for one in known if near and folded(one) == near[0]), None)
    return UsageError(
        f"there is no parameter {name!r}" + (f"; did you mean {nearest!r}?" if nearest else ""),
        why=f"the task was started with {', '.join(known)}" if known else "the task has none",
        fix=(f"--set {nearest}={text}, or " if nearest else "")
        + f"--add {name}={text} to add one on purpose",
    )


# --- add --------------------------------------------------------------------------------------


def add(spec: Spec, word: str) -> Spec:
    """`spec` with one more parameter, given as `NAME=VALUE`.

    It is written as the others are: as an option, as a key for Hydra, or as one of `--set`. A
    word that says itself how, such as `--lr=0.1`, `+a.b=c` or `~x`, is put at the end as it is.
    Raises `UsageError` if it is there already, or if the word names nothing.
    """
    args = arguments_of(spec.entry)
    name, sign, text = word.lstrip("-+~").partition("=")
    if not name or not (sign or word[:1] in "-~"):
        raise UsageError(
            f"--add {word} adds nothing", why="it wants NAME=VALUE", fix=f"--add {name or 'lr'}=1"
        )
    if knows(spec, name):
        raise UsageError(
            f"there is a parameter {name!r} already", fix=f"--set {name}={text or 'VALUE'}"
        )
    if isinstance(spec.entry, Notebook):
        return replace(spec, params=spec.params | {name: text})
    if word[:1] in "-+~":
        return replace(spec, entry=with_arguments(spec.entry, (*args, word)))
    if spec.params:
        return replace(spec, params=spec.params | {name: text})
    added = _in_their_style(read_arguments(args), name, text)
    return replace(spec, entry=with_arguments(spec.entry, (*args, *added)))


def _in_their_style(others: Sequence[Argument], name: str, text: str) -> tuple[str, ...]:
    options = [one for one in others if one.form in ("flag", "negation", "apart", "joined")]
    if others and not options:
        return (f"{name}={text}",)
    if text.lower() in ("true", "false"):
        return (f"--{name}" if text.lower() == "true" else f"--no-{name}",)
    if text.startswith("-") or any(one.form == "joined" for one in options):
        return (f"--{name}={text}",)
    return (f"--{name}", text)
