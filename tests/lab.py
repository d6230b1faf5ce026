"""Tasks with everything that a cleaning can take: lines, points, an artifact, code, a notebook."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from projecting import caught_up
from waiting import until

from evq.core import events, notebooks, subjects, wire
from evq.core.cleaning.cleaned import ALL as EVERY_KIND
from evq.core.decide import Claim, EndPhase, Finish, Holder, SaveArtifact, Start
from evq.core.events import Launch, Outcome
from evq.core.handle import handle
from evq.core.sdk import artifacts
from evq.core.sdk.author import now
from evq.core.sdk.client import Client
from evq.core.sdk.code import CodeOnServer
from evq.core.spec import Code, Command, Spec
from evq.core.state import Queued, Task
from evq.services.clean import carrying
from evq.services.clean.policy import Policy, Rule

DIGITS = Spec(entry=Command(("train",)), name="t", queue="q", project="digits", user="ada")
EVERYTHING = Policy((Rule(EVERY_KIND, older=0.0, project=("digits",)),), min_age=0.0)
ALL = dict.fromkeys(EVERY_KIND, True)
NOTHING = dict.fromkeys(EVERY_KIND, False)


class Lab:
    """Enqueues, plays the agent, cleans, and looks what is really there. `folder` is for files."""

    def __init__(self, client: Client, folder: Path) -> None:
        self.client = client
        self._folder = folder

    async def code(self, name: str) -> Code:
        """Code of one bundle, as it lies on the server."""
        blob = f"base-{name}"
        (self._folder / blob).write_bytes(b"x" * 1000)
        await self.client.bus.objects.put(blob, self._folder / blob)
        return Code(name, (blob,))

    async def enqueue(self, code: Code | None = None, **spec: Any) -> str:
        """The id of a task of the project `digits`."""
        return (await self.client.enqueue(replace(DIGITS, code=code, **spec))).task

    async def claim(self, task: str) -> Task:
        """Take a task, as an agent does."""
        known = await self.client.get(task)
        waited = known.state.failure if isinstance(known.state, Queued) else 0
        return await self._does(
            task, Claim("a", "i", slot=0, hint=known.place.hint, lease=30.0, waited=waited)
        )

    async def fail(self, task: str) -> Task:
        """Take a task, and let its command end with 1 at once."""
        known = await self.claim(task)
        holder = Holder("i", len(known.attempts))
        await self._does(task, Start(holder, Launch(now(), 1, ("train",), "h", "/f")))
        return await self._does(task, Finish(holder, Outcome.FAILED, exit_code=1))

    async def live(self, task: str, content: bytes = b"") -> Task:
        """Bring a task to its end: two lines, three points, and if there is content an artifact
        and a notebook of that."""
        known = await self.claim(task)
        await self._say(known)
        holder = Holder("i", len(known.attempts))
        await self._does(task, Start(holder, Launch(now(), 1, ("train",), "h", "/f")))
        if content:
            depot = artifacts.open_depot(self.client.bus, "nats")
            path = self._folder / "content"
            path.write_bytes(content)
            with path.open("rb") as file:
                digest, size = await artifacts.store(depot, file, 10**9)
            await self._does(task, SaveArtifact(holder, "model", digest, size, False, "nats"))
            name = f"{notebooks.PREFIX}{digest}"
            await self.client.bus.objects.put(name, path)
            await self._does(task, EndPhase(holder, notebooks.PHASE, 0.0, None, name))
        return await self._does(task, Finish(holder, Outcome.COMPLETED, exit_code=0))

    async def task(self, code: Code | None = None, content: bytes = b"", **spec: Any) -> Task:
        """One that ended, as `live` ends it."""
        return await self.live(await self.enqueue(code, **spec), content)

    async def _does(self, task: str, command: Any) -> Task:
        known = await self.client.get(task)
        return (await handle(self.client.bus.log, self.client.author, known, command)).task

    async def _say(self, task: Task) -> None:
        attempt = task.attempts[-1]
        lines = events.Log(attempt=attempt.number, claim=attempt.claim, first=0, at=(5, 5),
                           stream="oo", text=("one", "two"))  # fmt: skip
        points = events.Metric(attempt=attempt.number, claim=attempt.claim, at=(0, 1, 2),
                               name=("loss",) * 3, step=(0, 1, 2),
                               value=(3.0, 1.0, 2.0))  # fmt: skip
        remarks = events.Remarks(attempt=attempt.number, claim=attempt.claim, at=5,
                                 params={"lr": "0.1"})  # fmt: skip
        for record in (lines, points, remarks):
            subject, data = subjects.telemetry("q", task.id, "a"), wire.encode_telemetry(record)
            await self.client.bus.telemetry.publish(subject, data, secrets.token_hex(8))

    def doubt(self) -> None:
        """Believe no more that code is there because it was a while ago."""
        self.client.enqueuer.code = CodeOnServer(self.client.bus)

    async def caught_up(self) -> None:
        """Return when the projector has read all that there is."""
        await caught_up(self.client)

    async def clean(self, policy: Policy = EVERYTHING) -> carrying.Freed:
        """Carry a policy out, once."""
        await self.caught_up()
        since = await self.client.bus.log.last_seq() + 1
        return await carrying.carry_out(self.client, policy, "test", now(), since, print)

    async def ends_with(self, task: Task, wanted: dict[str, bool]) -> bool:
        """Whether that is what is left of a task. SQL is asked of a copy, which may be old."""

        async def so() -> bool:
            return await self.has(task) == wanted

        return bool(await until(so))

    async def has(self, task: Task) -> dict[str, bool]:
        """What is really there of a task, in all places."""
        bus = self.client.bus
        said = await bus.telemetry.history(f"evqtel.q.{task.id}.*")
        kinds = {type(wire.decode_telemetry(one.data)) for one in said}
        rows = {
            table: await self.client.sql(f"SELECT 1 FROM {table} WHERE task = '{task.id}'")
            for table in ("logs", "metrics")
        }
        saved = [one.digest for attempt in task.attempts for one in attempt.saved]
        blobs = task.spec.code.blobs if task.spec.code else ()
        ran = [attempt.notebook for attempt in task.attempts if attempt.notebook]
        return {
            "logs": events.Log in kinds or bool(rows["logs"]),
            "metrics": events.Metric in kinds or bool(rows["metrics"]),
            "artifacts": any([await bus.depot.size(one) is not None for one in saved]),
            "code": any([await bus.objects.has(blob) for blob in blobs]),
            "notebooks": any([await bus.objects.has(name) for name in ran]),
        }
