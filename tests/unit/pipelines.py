"""Pipelines for tests, and a world in memory in which they run without a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evq.core.journal import Noted
from evq.core.spec import Code
from evq.services.pipeline.decide import decide
from evq.services.pipeline.definition import Definition, define
from evq.services.pipeline.facts import Created, Fact, Planned, Result, Settled
from evq.services.pipeline.graph import graph
from evq.services.pipeline.run import Live, Run, evolve
from evq.services.pipeline.tasks import plan_of


def pipeline(steps: Mapping[str, Any], **rest: Any) -> Definition:
    """A pipeline whose steps run `true` where they say nothing else."""
    whole = {
        name: step
        if {"command", "script", "function"} & step.keys()
        else {"command": ["true"], **step}
        for name, step in steps.items()
    }
    found = define({"name": "p", "steps": whole, **rest}, "pipeline.toml")
    graph(found, "pipeline.toml")
    return found


class World:
    """A journal, and the tasks that exist: each by its name once, however often it is asked for."""

    def __init__(self, definition: Definition, name: str = "p-1", **created: Any) -> None:
        self.name = name
        code = Code(snapshot="s", blobs=("b",))
        self.facts: list[Fact] = [Created(definition, code=code, tree="t", **created)]
        self.tasks: dict[str, str] = {}
        """By task, the part that it was enqueued for."""
        self.ends: dict[str, Result] = {}
        """By task, how it ended."""
        self.kept: dict[str, Result] = {}

    def run(self) -> Run:
        """The run as a controller that has just been started would fold it."""
        run: Run | None = None
        for seq, fact in enumerate(self.facts, 1):
            run = evolve(run, self.name, Noted(seq, seq, "somebody", "", fact))
        assert run is not None
        return run

    def write(self, fact: Fact) -> None:
        self.facts.append(fact)

    def begin(self) -> None:
        """Write down what begins now. It is not enqueued yet."""
        todo = decide(self.run())
        if todo.over:
            self.write(Settled(todo.over))
        elif todo.ready:
            plans = [plan_of(self.run(), name)[0] for name in todo.ready]
            again = [p for p in plans if p.digest in self.kept and not self.run().fresh]
            results = [
                Result(
                    part=p.part,
                    outcome="completed",
                    task=self.kept[p.digest].task,
                    outputs=self.kept[p.digest].outputs,
                    reused=True,
                )
                for p in again
            ]
            if results:
                self.write(Settled(tuple(results)))
            new = tuple(p for p in plans if p not in again)
            if new:
                self.write(Planned(new))
        elif todo.ended:
            self.write(todo.ended)

    def enqueue(self) -> None:
        """Enqueue all that is to run, whether it is there already or not."""
        for name, one in self.run().live.items():
            assert self.tasks.setdefault(one.task, name) == name

    def abort(self) -> None:
        """Abort what is to be aborted. A controller enqueues all that is to run before that."""
        self.enqueue()
        for task in decide(self.run()).abort:
            self.end(task, "aborted")

    def end(self, task: str, outcome: str, **outputs: Any) -> None:
        """Let a task end, once."""
        result = Result(part=self.tasks[task], outcome=outcome, task=task, outputs=outputs)  # type: ignore[arg-type]
        self.ends.setdefault(task, result)

    def settle(self) -> None:
        """Write down the ends that the log knows."""
        for one in self.run().live.values():
            self.settle_one(one)

    def settle_one(self, one: Live) -> None:
        if result := self.ends.get(one.task):
            if one.digest and result.outcome == "completed":
                self.kept[one.digest] = result
            self.write(Settled((result,)))

    def carry_through(self, outcomes: Mapping[str, str] | None = None, **outputs: Any) -> Run:
        """Run it undisturbed to its end."""
        while not self.run().ended:
            self.begin()
            self.enqueue()
            self.abort()
            for task, name in self.tasks.items():
                if task in {one.task for one in self.run().live.values()}:
                    self.end(task, (outcomes or {}).get(name, "completed"), **outputs)
            self.settle()
        return self.run()
