"""What agents take: measured shares of queues, and how soon what does not fit runs elsewhere.

    uv run benchmarks/taking.py [--tasks 150]

Three agents serve five full queues in each order; SQL counts the claims that were made while all
five had work. Then one of two agents is full, and a task that fits only the other is enqueued.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import uvloop
from ground import agent, agents, client, folder, line, server

from evq.core.bus.connect import Login
from evq.core.errors import ProjectorAway
from evq.core.questions import Sql
from evq.core.sdk.author import now
from evq.core.sdk.client import Client
from evq.core.spec import Command, Limits, Spec

ORDERS = ("strict", "round-robin", "weighted:{0}=5,{1}=4,{2}=3,{3}=2,{4}=1")

SHARES = """
WITH claims AS (
    SELECT queue, attempts.agent, row_number() OVER (ORDER BY attempts.claimed) AS n
    FROM attempts JOIN tasks USING (task) WHERE queue LIKE '{prefix}%')
SELECT queue, count(*) AS claims, count(DISTINCT agent) AS agents
FROM claims WHERE n <= {count} GROUP BY queue ORDER BY queue
"""

CLAIMED = "SELECT count(*) AS n FROM attempts JOIN tasks USING (task) WHERE queue LIKE '{prefix}%'"


def spec(queue: str, *argv: str, cpus: float | None = None) -> Spec:
    """A task of a command."""
    limits = Limits(cpus=cpus) if cpus else None
    return Spec(entry=Command(argv), name="bench", queue=queue, manager="none", limits=limits)


@asynccontextmanager
async def projector(home: Path, login: Login) -> AsyncIterator[None]:
    """A projector on this server."""
    (home / "projector").mkdir()
    environment = {**os.environ, "EVQ_LOGIN": msgspec.json.encode(login).decode()}
    argv = [sys.executable, "-P", "-m", "evq.projector", "--store", str(home / "projector")]
    process = subprocess.Popen(argv, env=environment, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


async def ask(opened: Client, text: str) -> list[dict[str, object]]:
    """The rows of a query, as soon as a projector answers."""
    while True:
        try:
            return [row async for row in opened.rows(Sql(text))]
        except ProjectorAway:
            await asyncio.sleep(0.1)


async def shares(opened: Client, login: Login, home: Path, order: str, tasks: int) -> None:
    """Five queues with so many tasks each, and three agents, until none can be empty yet."""
    prefix = order.partition(":")[0].replace("-", "_")
    queues = [f"{prefix}_{letter}" for letter in "abcde"]
    for queue in queues:
        await opened.enqueue_many([spec(queue, "/bin/sleep", "0.01")] * tasks)
    options = ("--queues", ",".join(queues), "--order", order.format(*queues), "--slots", "2")
    with ExitStack() as stack:
        for number in range(3):
            name = f"{prefix}-{number}"
            stack.enter_context(agent(home / name, login, "--name", name, *options))
        claimed = CLAIMED.format(prefix=prefix)
        while (await ask(opened, claimed))[0]["n"] < tasks:  # type: ignore[operator]
            await asyncio.sleep(0.2)
    rows = await ask(opened, SHARES.format(prefix=prefix, count=tasks))
    found = ", ".join(f"{str(row['queue'])[-1]} {row['claims']}" for row in rows)
    line(f"{order.partition(':')[0]}: first {tasks} claims by queue", "", found)


async def handed_over(opened: Client, login: Login, home: Path, count: int = 60) -> None:
    """Seconds from enqueue to claim of a task that only the second agent has room for."""
    options = ("--queues", "wide", "--cpus", "2", "--slots", "4")
    with agent(home / "one", login, "--name", "one", *options):
        await agents(opened, 1)
        await opened.enqueue(spec("wide", "/bin/true", cpus=2))
        await opened.enqueue(spec("wide", "/bin/true"))
        await asyncio.sleep(1)
        full = await opened.enqueue(spec("wide", "/bin/sleep", "600", cpus=2))
        await asyncio.sleep(1)
        with agent(home / "two", login, "--name", "two", *options):
            await agents(opened, 2)
            await asyncio.sleep(1)
            seconds = []
            for _ in range(count):
                began = now()
                receipt = await opened.enqueue(spec("wide", "/bin/true", cpus=2))
                while not (task := await opened.get(receipt.task)).past:
                    await asyncio.sleep(0.01)
                assert task.past[0].agent == "two"
                seconds.append((task.past[0].claimed - began) / 1e6)
                # The first agent is idle but for what it cannot take: a small task is for both.
                await opened.enqueue(spec("wide", "/bin/true"))
                await asyncio.sleep(0.03)
            await opened.abort(full.task, "measured")
    seconds.sort()
    line("what only the other agent can take, median", f"{statistics.median(seconds) * 1e3:.2f} ms")
    line("the same, 95 of 100", f"{seconds[int(count * 0.95)] * 1e3:.2f} ms")
    line("the same, the slowest", f"{seconds[-1] * 1e3:.2f} ms")


async def measure(tasks: int) -> None:
    """Everything, one after the other."""
    with folder() as home, server(home) as login:
        async with client(login) as opened, projector(home, login):
            await handed_over(opened, login, home)
            for order in ORDERS:
                await shares(opened, login, home, order, tasks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=150)
    uvloop.run(measure(parser.parse_args().tasks))


if __name__ == "__main__":
    main()
