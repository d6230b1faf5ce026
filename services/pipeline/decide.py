"""What is to be done next in a run: which parts begin, are skipped, or have to end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from ...core.errors import UsageError
from .facts import End, Result, RunEnded
from .run import Run
from .values import NotYet, follows, part_name, parts, split


class Next(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done now. `ready` may begin, `over` ends without having run, `abort` are tasks
    that must end. With `ended` nothing is left to be done."""

    ready: tuple[str, ...] = ()
    over: tuple[Result, ...] = ()
    abort: tuple[str, ...] = ()
    ended: RunEnded | None = None


class Never(msgspec.Struct, frozen=True):
    """A part will not run in this run."""

    why: str


Verdict = Literal["begins", "waits"] | Never

PHRASES: dict[End, str] = {
    "completed": "completed",
    "failed": "failed",
    "timed_out": "ran out of time",
    "aborted": "was aborted",
    "skipped": "was skipped",
}


def decide(run: Run) -> Next:
    """What is to be done next, if anything."""
    if run.ended:
        return Next()
    if why := aborting(run):
        if run.live:
            return Next(abort=tuple(one.task for one in run.live.values()))
        return Next(ended=RunEnded("aborted" if run.stop else "failed", why))
    ready: list[str] = []
    over: list[Result] = []
    for step in run.graph.order:
        for name, verdict in _open(run, step):
            match verdict:
                case "begins":
                    ready.append(name)
                case Result():
                    over.append(verdict)
                case Never(why):
                    over.append(Result(part=name, outcome="skipped", evidence=why))
                case "waits":
                    pass
    if ready or over or run.live:
        return Next(ready=tuple(ready), over=tuple(over))
    return Next(ended=_end(run))


def aborting(run: Run) -> str:
    """Why nothing more may begin, in words; empty if all goes on."""
    if run.stop:
        return run.stop.reason
    return next((_phrase(one) for one in _failures(run) if _policy(run, one) == "abort"), "")


def again(run: Run, parts: set[str]) -> tuple[str, ...]:
    """These parts, of those that have ended, and all that came after them."""
    found = set(parts)
    for step in run.graph.order:
        for name in _known(run, step):
            index = split(name)[1]
            for parent in run.graph.parents[step]:
                if found.intersection(awaited(run, step, index, parent) or ()):
                    found.add(name)
    return tuple(name for name in run.parts if name in found)


def unfinished(run: Run) -> set[str]:
    """The parts that ended without having completed."""
    results = (run.result(name) for name in run.parts)
    return {one.part for one in results if one and one.outcome != "completed"}


def _known(run: Run, step: str) -> list[str]:
    return [name for name in run.parts if split(name)[0] == step]


def _failures(run: Run) -> Iterator[Result]:
    """What ran, or was to run, and gave nothing."""
    for name in run.parts:
        result = run.result(name)
        if result and result.outcome not in ("completed", "skipped"):
            yield result


def _policy(run: Run, result: Result) -> str:
    return run.definition.failure_of(split(result.part)[0])


def _phrase(result: Result) -> str:
    phrase = f"{result.part} {PHRASES[result.outcome]}"
    return f"{phrase}: {result.evidence}" if result.evidence else phrase


def _end(run: Run) -> RunEnded:
    for one in _failures(run):
        if _policy(run, one) != "continue":
            return RunEnded("failed", _phrase(one))
    return RunEnded("completed")


def _open(run: Run, step: str) -> Iterator[tuple[str, Verdict | Result]]:
    """The parts of a step that neither run nor have ended, and what is to become of each."""
    if step in run.parts:
        return
    try:
        names = parts(run, step)
    except NotYet:
        yield step, _never(run, step) or "waits"
        return
    except UsageError as error:
        failure = Result(part=step, outcome="failed", evidence=str(error))
        yield step, _never(run, step) or failure
        return
    # Without a counterpart to wait for, all parts wait for the same.
    same = None if step in run.graph.along else _verdict(run, step, None)
    for name in names:
        if name not in run.parts:
            yield name, same or _verdict(run, step, split(name)[1])


def _never(run: Run, step: str) -> Never | None:
    """Why a step whose items are not known will never have any; null if it may."""
    verdict = _verdict(run, step, None)
    return verdict if isinstance(verdict, Never) else None


def _verdict(run: Run, step: str, index: int | None) -> Verdict:
    """What is to become of a part, as far as those that it waits for have ended."""
    waits = False
    for parent in run.graph.parents[step]:
        names = awaited(run, step, index, parent)
        waits = waits or names is None
        for name in names or ():
            result = run.result(name)
            if result is None:
                waits = True
            elif result.outcome == "skipped" or (
                result.outcome != "completed" and _policy(run, result) == "skip"
            ):
                return Never(f"{name} {PHRASES[result.outcome]}")
    return "waits" if waits else "begins"


def awaited(run: Run, step: str, index: int | None, parent: str) -> list[str] | None:
    """The parts of `parent` that a part waits for; null if they are not known yet."""
    if parent in run.parts:
        return [parent]  # it runs once, or ended before its items were known
    if index is not None and follows(run, step, parent):
        return [part_name(parent, index)]
    try:
        return parts(run, parent)
    except (NotYet, UsageError):
        return None
