"""Which of a machine's GPUs an agent gives to tasks: `--gpus 0,2-3 | all | none | UUIDs`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ...core.errors import UsageError
from .port import Gpu, divided

_RANGE = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?")
_ID = re.compile(r"[A-Za-z][\w.:/-]*")


def choose(text: str, gpus: Sequence[Gpu]) -> tuple[Gpu, ...]:
    """Those of `gpus` that `text` names. A divided GPU stands for its instances.

    An id may be cut short as long as it means one GPU only. Raises `UsageError`.
    """
    match text.strip().lower():
        case "none" | "":
            return ()
        case "all":
            return _usable(gpus, gpus)
    named = [gpu for word in text.split(",") for gpu in _named(word.strip(), gpus)]
    if twice := [gpu.id for gpu in named if named.count(gpu) > 1]:
        raise UsageError(
            f"--gpus {text} names {twice[0]} twice",
            why="a GPU is named once, by its index or its id",
            fix="--gpus " + ",".join(dict.fromkeys(str(gpu.index) for gpu in named)),
        )
    return _usable(named, gpus)


def _usable(named: Sequence[Gpu], gpus: Sequence[Gpu]) -> tuple[Gpu, ...]:
    whole = divided(tuple(gpus))
    wanted = {gpu.id for gpu in named}
    return tuple(
        gpu
        for gpu in gpus
        if gpu.id not in whole and (gpu.id in wanted or gpu.parent in wanted & whole)
    )


def _named(word: str, gpus: Sequence[Gpu]) -> Iterator[Gpu]:
    if match := _RANGE.fullmatch(word):
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise _refused(word, "the range ends before it begins", gpus)
        for index in range(first, last + 1):
            yield _indexed(word, index, gpus)
    elif _ID.fullmatch(word):
        yield _called(word, gpus)
    else:
        raise _refused(word, "it is no index, no range of them and no id", gpus)


def _indexed(word: str, index: int, gpus: Sequence[Gpu]) -> Gpu:
    for gpu in gpus:
        if gpu.index == index and gpu.parent is None:
            return gpu
    raise _refused(word, f"there is no GPU {index} here; {_there(gpus)}", gpus)


def _called(word: str, gpus: Sequence[Gpu]) -> Gpu:
    found = [gpu for gpu in gpus if gpu.id == word]
    found = found or [gpu for gpu in gpus if gpu.id.lower().startswith(word.lower())]
    match found:
        case [gpu]:
            return gpu
        case []:
            raise _refused(word, f"no GPU here is called so; {_there(gpus)}", gpus)
        case several:
            raise _refused(word, f"{len(several)} GPUs begin so: {_ids(several)}", gpus)


def _refused(word: str, why: str, gpus: Sequence[Gpu]) -> UsageError:
    return UsageError(
        f"--gpus {word or '(nothing)'} cannot be given to tasks",
        why=why,
        fix=f"--gpus {gpus[0].index} or --gpus all" if gpus else "--gpus none",
    )


def _there(gpus: Sequence[Gpu]) -> str:
    return f"there are {_ids(gpus)}" if gpus else "this machine has none that evq can see"


def _ids(gpus: Sequence[Gpu]) -> str:
    return ", ".join(f"{gpu.index} ({gpu.id})" for gpu in gpus)
