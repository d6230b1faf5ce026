"""A run's controller: it follows the log, and does what `decide` says.

What is going to be done is written down before it is done, under a name that follows from the
journal alone. So a controller that is killed anywhere is followed by one that does the last things
once more, which changes nothing, and goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import aclosing, suppress

import msgspec

from ...core.artifacts import artifacts_of
from ...core.errors import Conflict, UsageError
from ...core.events import Aborted, DependenciesEnded, Dequeued, Disbanded, Finished
from ...core.ids import is_task_id
from ...core.sdk.client import Client
from ...core.spec import Spec
from ...core.state import Ended, Task
from ...core.subjects import lifecycle, service_events
from . import metrics
from .decide import aborting, decide
from .facts import Fact, Kept, Plan, Planned, Result, RunEnded, Settled
from .journals import PIPELINE, RunJournal, keep, kept, run_of
from .run import Run
from .tasks import plan_of, spec_of
from .values import split

log = logging.getLogger(__name__)

ENDS = Finished | Aborted | DependenciesEnded | Disbanded | Dequeued
"""Events after which a task may have ended."""

MOST_PLANS = 200
MOST_BYTES = 256 * 1024
"""How much one decision holds."""


class Controller:
    """Who carries one run through, from wherever it is to its end."""

    def __init__(self, client: Client, journal: RunJournal) -> None:
        self._client = client
        self._journal = journal
        self._task: str | None = None
        """The controller's own."""
        self._keeping: set[asyncio.Task[None]] = set()

    @property
    def _run(self) -> Run:
        return run_of(self._journal)

    async def run(self, holder: str) -> RunEnded:
        """Speak for the run as `holder` until it has ended. Raises `Superseded`."""
        task = holder.partition(".")[0]
        self._task = task if is_task_id(task) else None
        await self._journal.take(holder)
        if not self._run.ended:
            await self._carry_through()
        # Results that a controller before this one may not have come to keep are kept now.
        await self._keep_all()
        assert self._run.ended
        return self._run.ended

    async def _carry_through(self) -> None:
        start = min((one.seq for one in self._run.live.values()), default=self._journal.seq)
        await self._enqueue(self._run.live)
        await self._advance()
        ours = service_events(PIPELINE, self._run.name)
        queues = {
            step.queue or self._run.created.queue for step in self._run.definition.steps.values()
        }
        patterns = [ours, *(lifecycle(queue, "*") for queue in sorted(queues))]
        async with aclosing(self._client.watch(start, patterns)) as happened:
            async for seen in happened:
                if self._run.ended:
                    return
                if seen.subject == ours:
                    if seen.seq > self._journal.seq:
                        await self._journal.catch_up()
                        await self._advance()
                elif isinstance(seen.envelope.event, ENDS) and await self._hear(seen.task):
                    await self._advance()

    # --- what happens -------------------------------------------------------------------------

    async def _hear(self, task: str | None) -> bool:
        """Write down the end of a task, if it is one of ours and has ended."""
        part = next((name for name, one in self._run.live.items() if one.task == task), None)
        if part is None or task is None:
            return False
        known = await self._client.get(task)
        if not isinstance(known.state, Ended):
            return False
        await self._settle([await self._result(part, known, known.state)])
        return True

    async def _result(self, part: str, task: Task, ended: Ended) -> Result:
        names = metrics.wanted(self._run.definition, split(part)[0])
        return Result(
            part=part,
            outcome=ended.outcome.value,
            task=task.id,
            outputs=ended.outputs,
            artifacts=tuple(artifacts_of(task)),
            metrics=await metrics.last_values(self._client, task, names),
            evidence=ended.evidence,
        )

    async def _settle(self, results: Iterable[Result]) -> None:
        """Write down how parts ended, as many at once as one decision holds."""
        for batch in _batches(list(results)):

            def choose(
                run: Run | None, batch: tuple[Result, ...] = batch
            ) -> tuple[Fact, str] | None:
                open_ones = tuple(one for one in batch if run and not run.result(one.part))
                return (Settled(open_ones), _words(open_ones)) if open_ones else None

            await self._journal.decide(choose)
        for result in results:
            self._keep_later(result.part)

    # --- what is done -------------------------------------------------------------------------

    async def _advance(self) -> None:
        """Do all that can be done now."""
        while True:
            todo = decide(self._run)
            if todo.over:
                await self._settle(todo.over)
            elif todo.ready:
                await self._begin(todo.ready[:MOST_PLANS])
            else:
                break
        for task in todo.abort:
            with suppress(Conflict):  # it has ended meanwhile, and the log is about to say so
                await self._client.abort(task, f"pipeline {self._run.name}: {aborting(self._run)}")
        if todo.ended:
            await self._journal.decide(self._end)

    def _end(self, run: Run | None) -> tuple[Fact, str] | None:
        ended = decide(run).ended if run else None
        return (ended, _last_words(ended)) if ended else None

    async def _begin(self, ready: Iterable[str]) -> None:
        """Take the results that are known, and let the rest run."""
        plans: dict[str, tuple[Plan, Spec]] = {}
        results: list[Result] = []
        for part in ready:
            try:
                plans[part] = plan_of(self._run, part)
            except UsageError as error:
                results.append(Result(part=part, outcome="failed", evidence=str(error)))
        results += await self._known(plan for plan, _ in plans.values())
        await self._settle(results)
        settled = {one.part for one in results}

        def choose(run: Run | None) -> tuple[Fact, str] | None:
            still = decide(run).ready if run else ()
            chosen = [plans[name][0] for name in still if name in plans and name not in settled]
            if not chosen:
                return None
            return Planned(tuple(chosen)), _beginning([plan.part for plan in chosen])

        if noted := await self._journal.decide(choose):
            assert isinstance(noted.fact, Planned)
            await self._enqueue_all(plans[plan.part][1] for plan in noted.fact.plans)

    async def _known(self, plans: Iterable[Plan]) -> list[Result]:
        """The results of those that ran before, in any run, out of the same code and values."""
        if self._run.fresh:
            return []
        asked = [plan for plan in plans if plan.digest]
        found = await asyncio.gather(*(kept(self._client, plan.digest) for plan in asked))
        return [
            Result(
                part=plan.part,
                outcome="completed",
                task=one.task,
                outputs=one.outputs,
                metrics=one.metrics,
                artifacts=one.artifacts,
                reused=True,
            )
            for plan, one in zip(asked, found, strict=True)
            if one
        ]

    async def _enqueue(self, parts: Iterable[str]) -> None:
        await self._enqueue_all([spec_of(self._run, name) for name in parts])

    async def _enqueue_all(self, specs: Iterable[Spec]) -> None:
        ours = [msgspec.structs.replace(spec, parent=self._task) for spec in specs]
        await asyncio.gather(*map(self._client.enqueue, ours))

    # --- results that may be taken again ------------------------------------------------------

    def _keep_later(self, part: str) -> None:
        """Keep a result beside the way: nobody waits for it."""
        keeping = asyncio.ensure_future(self._keep(part))
        self._keeping.add(keeping)
        keeping.add_done_callback(self._keeping.discard)

    async def _keep(self, part: str) -> None:
        one = self._run.parts.get(part)
        digest = getattr(one, "digest", "")
        result = self._run.result(part)
        if digest and result and result.outcome == "completed" and not result.reused:
            known = Kept(
                result.task, result.outputs, result.metrics, result.artifacts, self._run.name
            )
            await keep(self._client, digest, known)

    async def _keep_all(self) -> None:
        await asyncio.gather(*self._keeping)
        await asyncio.gather(*map(self._keep, self._run.parts))


def _batches(results: list[Result]) -> Iterable[tuple[Result, ...]]:
    """The results in batches that one decision has room for."""
    batch: list[Result] = []
    size = 0
    for result in results:
        length = len(msgspec.json.encode(result))
        if batch and size + length > MOST_BYTES:
            yield tuple(batch)
            batch, size = [], 0
        batch.append(result)
        size += length
    if batch:
        yield tuple(batch)


def _beginning(parts: list[str]) -> str:
    return f"{_list(parts)} {'begin' if len(parts) > 1 else 'begins'}"


def _words(results: tuple[Result, ...]) -> str:
    ends: dict[str, list[str]] = {}
    for one in results:
        how = "taken from the cache" if one.reused else f"{one.outcome.replace('_', ' ')}"
        if one.evidence:
            how += f" ({one.evidence[:200]})"
        ends.setdefault(how, []).append(one.part)
    return "; ".join(f"{_list(names)}: {how}" for how, names in ends.items())


def _list(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def _last_words(ended: RunEnded) -> str:
    return f"the run has {ended.outcome}" + (f": {ended.evidence}" if ended.evidence else "")
