"""A run of a pipeline as its facts made it."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from ...core.journal import Noted
from ...core.spec import Code
from .definition import Definition
from .facts import Created, Fact, Planned, Result, Resumed, RunEnded, Settled, StopWished
from .graph import Graph, graph


class Live(msgspec.Struct, frozen=True):
    """It runs, or waits in its queue, since the decision at the sequence `seq`."""

    seq: int
    at: int
    task: str
    digest: str


class Done(msgspec.Struct, frozen=True):
    """It has ended, at `at`; `began` is when it was planned, null if it never was."""

    at: int
    began: int | None
    result: Result
    digest: str = ""


Progress = Live | Done


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run, folded from its journal.

    `parts` holds those that were planned or have ended; `rounds` says how often each was begun
    anew, `starts` how often the run itself was begun. Times are microseconds since 1970.
    """

    name: str
    created: Created
    graph: Graph
    code: Code | None
    tree: str
    fresh: bool
    at: int
    by: str
    parts: dict[str, Progress] = {}
    rounds: dict[str, int] = {}
    starts: int = 1
    stop: StopWished | None = None
    ended: RunEnded | None = None
    ended_at: int | None = None

    @property
    def definition(self) -> Definition:
        """What runs."""
        return self.created.definition

    @property
    def live(self) -> dict[str, Live]:
        """The parts that run or wait in their queues."""
        return {name: one for name, one in self.parts.items() if isinstance(one, Live)}

    def result(self, part: str) -> Result | None:
        """How a part ended; null if it has not."""
        one = self.parts.get(part)
        return one.result if isinstance(one, Done) else None

    @property
    def state(self) -> str:
        """The run in one word."""
        if self.ended:
            return self.ended.outcome
        return "stopping" if self.stop else "running"


def evolve(run: Run | None, name: str, noted: Noted[Fact]) -> Run | None:
    """The run called `name` after one more fact. What does not fit changes nothing."""
    match noted.fact:
        case Created():
            return run or _created(name, noted, noted.fact)
        case _ if run is None:
            return None
        case Planned(plans):
            live = {one.part: Live(noted.seq, noted.at, one.task, one.digest) for one in plans}
            return replace(run, parts=run.parts | live)
        case Settled(results):
            done = {one.part: _done(run, noted, one) for one in results}
            return replace(run, parts=run.parts | done)
        case StopWished():
            return replace(run, stop=run.stop or noted.fact)
        case Resumed():
            return _resumed(run, noted.fact)
        case RunEnded():
            return replace(run, ended=noted.fact, ended_at=noted.at)


def _created(name: str, noted: Noted[Fact], fact: Created) -> Run:
    return Run(
        name=name,
        created=fact,
        graph=graph(fact.definition),
        code=fact.code,
        tree=fact.tree,
        fresh=fact.fresh,
        at=noted.at,
        by=noted.by,
    )


def _done(run: Run, noted: Noted[Fact], result: Result) -> Done:
    before = run.parts.get(result.part)
    if isinstance(before, Live):
        return Done(noted.at, before.at, result, before.digest)
    return Done(noted.at, None, result)


def _resumed(run: Run, fact: Resumed) -> Run:
    again = set(fact.parts)
    return replace(
        run,
        parts={name: one for name, one in run.parts.items() if name not in again},
        rounds=run.rounds | {name: run.rounds.get(name, 0) + 1 for name in again},
        starts=run.starts + 1,
        code=fact.code or run.code,
        tree=fact.tree or run.tree,
        fresh=fact.fresh,
        stop=None,
        ended=None,
        ended_at=None,
    )
