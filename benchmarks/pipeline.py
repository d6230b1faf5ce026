"""How soon a step of a pipeline starts after the one it waits for, and what a run costs.

    uv run benchmarks/pipeline.py [--steps 30] [--slots 4]

The times of edges are the agent's own, as in benchmarks/edges.py: from the moment when a command's
end was seen to the moment when the next command was started.
"""

from __future__ import annotations

import argparse
import statistics
import time

import uvloop
from ground import agent, agents, client, folder, line, server

from evq.core.sdk.client import Client
from evq.core.sdk.following import follow, newborn
from evq.core.sdk.services import start_service
from evq.services.pipeline.definition import define
from evq.services.pipeline.facts import Created
from evq.services.pipeline.graph import graph
from evq.services.pipeline.journals import create, open_run, run_of
from evq.services.pipeline.run import Done, Run

TRUE = {"command": ["/bin/true"], "env": "none"}
GIVE = ["python3", "-c", "import evq, sys; evq.output(n=int(sys.argv[1]) + 1)"]


def chain(steps: int) -> dict[str, object]:
    """Each step after the one before."""
    return {f"s{n}": {**TRUE, **({"after": [f"s{n - 1}"]} if n else {})} for n in range(steps)}


def giving(steps: int) -> dict[str, object]:
    """Each step takes a value that the one before it gave."""
    return {
        f"s{n}": {
            "command": [*GIVE, f"${{steps.s{n - 1}.outputs.n}}" if n else "0"],
            "env": "none",
        }
        for n in range(steps)
    }


def fan(steps: int) -> dict[str, object]:
    """One step, then one for each of many items, then one for each of those, then one for all."""
    items = list(range((steps - 2) // 2))
    return {
        "prepare": TRUE,
        "train": {**TRUE, "each": items, "after": ["prepare"]},
        "test": {**TRUE, "each": "${steps.train}"},
        "report": {**TRUE, "after": ["test"]},
    }


async def run(opened: Client, name: str, steps: dict[str, object]) -> tuple[Run, float]:
    """A run from its begin to the end of its controller, and the seconds that it took."""
    definition = define({"name": name, "cache": True, "steps": steps}, name)
    created = Created(definition, tree="t", queue="edges", edges=graph(definition).parents)
    began = time.monotonic()
    journal = await create(opened, created)
    service = await start_service(opened, "pipeline", journal.name)
    async for _ in follow(opened.bus, await newborn(opened.bus, service.task.origin)):
        pass
    return run_of(await open_run(opened, journal.name)), time.monotonic() - began


async def gaps(opened: Client, found: Run) -> list[float]:
    """Of each part, the seconds since the last end of those that it waited for."""
    tasks = {}
    for name, one in found.parts.items():
        assert isinstance(one, Done)
        tasks[name] = (await opened.get(one.result.task)).past[-1]
    measured = []
    for step, parents in found.graph.parents.items():
        if parents and step in tasks and parents[0] in tasks:
            before, after = tasks[parents[0]], tasks[step]
            assert before.end and after.launch
            measured.append((after.launch.at - before.end.at) / 1e6)
    return measured


def percentile(values: list[float], share: float) -> float:
    """The value below which that share of them lies."""
    return sorted(values)[int(len(values) * share)]


async def measure(steps: int, slots: int) -> None:
    """Everything, one after the other, on one server with durable writes."""
    with folder() as home, server(home) as login:
        async with client(login) as opened:
            options = ("--queues", "edges", "--slots", str(slots), "--name", "edges")
            light = ("--queues", "services", "--services", "--allow-client", "--name", "light")
            with agent(home / "a", login, *options), agent(home / "b", login, *light):
                await agents(opened, 2)
                await run(opened, "warm", chain(5))
                for what, shape in (("that wait", chain), ("that take a value", giving)):
                    found, _ = await run(opened, shape.__name__, shape(steps))
                    measured = await gaps(opened, found)
                    median, high = statistics.median(measured), percentile(measured, 0.95)
                    line(f"{steps} steps {what}: edge, median", f"{median * 1e3:.1f} ms")
                    line("the same, 95 of 100", f"{high * 1e3:.1f} ms")
                found, took = await run(opened, "fan", fan(steps))
                line(f"{len(found.parts)} parts with fan-out", f"{took:.2f} s")
                found, took = await run(opened, "fan", fan(steps))
                reused = sum(isinstance(o, Done) and o.result.reused for o in found.parts.values())
                line(f"once more, {reused} of them from the cache", f"{took:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--slots", type=int, default=4)
    options = parser.parse_args()
    uvloop.run(measure(options.steps, options.slots))


if __name__ == "__main__":
    main()
