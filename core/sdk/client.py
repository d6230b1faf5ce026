"""What a user can ask of evq, as a Python object. The command line stands on it.

async with evq.connect() as client:
    receipt = await client.enqueue(spec)
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Unpack

from ..artifacts import Artifact, artifacts_of, find_artifact
from ..bus.connect import Bus
from ..decide import Abort, Archive, Dequeue, Move, Tag, Unarchive
from ..errors import NotFound
from ..events import AgentOrder
from ..fleet.presence import AgentPresence
from ..fleet.services import QUEUE as SERVICES
from ..handle import find, handle, load_queue, tell_holders
from ..ids import check_name
from ..questions import Head, Named, Sql, question_of
from ..queueing.granting import Tally, load_tally
from ..queueing.permits import Permits
from ..queueing.queues import QueueEvent, QueueState
from ..spec import Code, Spec
from ..state import Task
from ..subjects import LIFECYCLE_SUBJECTS, TELEMETRY_SUBJECTS
from . import agents, artifacts, filing, services
from .arrays import ArrayReceipt, enqueue_array, find_array, load_members
from .asking import POSITION_SECONDS, answer, parts, projected, resolve, rows
from .author import Author
from .cloning import clone
from .ending import wait
from .enqueueing import Enqueuer, Receipt
from .limiting import limit_queue
from .lines import Line, lines
from .measured import metrics
from .moving import Outcome, Where, move
from .queue_changes import all_queues, change_queue, queue_names
from .request import Options, Runnable
from .requeueing import put_in_line, requeue
from .services import Service
from .submitting import submit
from .tunnels.tunnel import LOOPBACK, Tunnel
from .watch import Measured, Seen, watch, watch_metrics


class Client:
    """A connection to evq. Every method may raise an `EvqError` that says what to do."""

    def __init__(self, bus: Bus, author: Author | None = None) -> None:
        self.bus = bus
        self.author = author or Author()
        self.enqueuer = Enqueuer(bus, self.author)

    # --- enqueue ------------------------------------------------------------------------------

    async def enqueue(self, spec: Spec) -> Receipt:
        """Enqueue one task. When this returns, the server has it on disk.

        One for several nodes is a gang: the receipt is that of its rank 0, which stands for all.
        """
        return await self.enqueuer.enqueue(spec)

    async def enqueue_many(self, specs: Sequence[Spec]) -> list[Receipt]:
        """Enqueue many tasks in a few atomic batches; keys are not allowed here."""
        return await self.enqueuer.enqueue_many(specs)

    async def enqueue_array(
        self, spec: Spec, indexes: range, most: int | None = None
    ) -> ArrayReceipt:
        """Enqueue a task for each index, of which at most `most` run at once.

        `{index}` in its name, arguments, parameters and variables is the index; `{index:03}` has
        zeros before it.
        """
        return await enqueue_array(self.enqueuer, spec, indexes, most)

    async def members(self, array: str, indexes: Sequence[int] | None = None) -> list[Task]:
        """Members of an array, by index: all, or those of some indexes. Raises `NotFound`."""
        found = await find_array(self.bus, array)
        if found is None:
            raise NotFound(f"there is no array {array}", fix="evq ls shows the arrays there are")
        return await load_members(self.bus, found, indexes)

    async def submit(
        self,
        what: Runnable,
        args: Sequence[object] = (),
        *,
        folder: str | os.PathLike[str] = ".",
        params: Mapping[str, object] | None = None,
        include: Sequence[str] = (),
        code: bool = True,
        **options: Unpack[Options],
    ) -> Receipt:
        """Enqueue a task with the code of `folder`, exactly as `evq enqueue` sends it.

        `what` is the path of a script or notebook and `args` its arguments; or the words of a
        command; or a `Spec`, or an entry of one. `params` are what `--set` sets, `include` files
        that are sent although they are ignored or look secret; without `code` none is sent. The
        `options` are fields of `Spec`.

        Raises `UsageError`, and `SnapshotRefused` for a file that must not be sent.
        """
        return await submit(
            self,
            what,
            args,
            folder=Path(folder),
            params=params or {},
            include=include,
            code=code,
            options=options,
        )

    async def agents(self) -> list[AgentPresence]:
        """The agents that are there now. Of one that was killed and started again both runs are
        present for a lease: the later one counts."""
        return await agents.present(self.bus)

    async def order(self, order: AgentOrder) -> None:
        """Tell an agent, by an event about it, which it hears at once or when it starts."""
        await agents.order(self.bus, self.author, order)

    async def is_agent(self, name: str) -> bool:
        """Whether there is, or has been, an agent of this name."""
        return await agents.is_known(self.bus, name)

    # --- one task -----------------------------------------------------------------------------

    async def resolve(self, selector: str) -> str:
        """The whole id that `selector` means: an id, or a prefix that only one id has."""
        return await resolve(self, selector)

    async def get(self, task: str) -> Task:
        """The task with this whole id, folded from the log as of now."""
        return await find(self.bus.log, task)

    async def tasks(
        self,
        *,
        states: Sequence[str] | None = None,
        queue: str | None = None,
        user: str | None = None,
        parent: str | None = None,
        archived: bool = False,
        arrays: bool = False,
        ranks: bool = False,
        limit: int = 100,
        offset: int = 0,
    ) -> list[dict[str, Any]]:
        """Tasks as `evq ls --json` lists them, the newest first: a dict for each, by its columns.

        Those in the archive are left out, or with `archived` no others are told. With `arrays` an
        array is one of them; a gang is one of them, unless `ranks` is true. Raises `ProjectorAway`.
        """
        params: dict[str, Any] = {"states": states, "queue": queue, "user": user, "parent": parent}
        params |= {"archived": archived, "arrays": arrays, "ranks": ranks, "offset": offset}
        asked = {name: value for name, value in params.items() if value} | {"limit": limit}
        return [row async for row in self.rows(Named("tasks", asked))]

    async def wait(
        self, *tasks: str, timeout: float | None = None, first: bool = False
    ) -> list[Task]:
        """Wait until the tasks with these whole ids have ended, and return them, each once; of a
        gang the member whose end is that of all.

        With `first`, wait until one has, and return those that have. Raises `NotFound`, and
        `TimeoutError` after `timeout` seconds; the tasks go on then.
        """
        return await wait(self, tasks, timeout, first)

    async def logs(
        self, task: str, *, attempt: int | None = None, setup: bool = False, follow: bool = False
    ) -> AsyncGenerator[Line, None]:
        """The lines that a task wrote: those of its last attempt, or of the one with this number.

        With `setup` also what setting up wrote, and what the agent says. With `follow` they go on
        as they come until the task has ended, over all further attempts. Raises `NotFound`.
        """
        known = await self.get(task)
        async with aclosing(lines(self, known, attempt, setup=setup, follow=follow)) as found:
            async for line in found:
                yield line

    async def metrics(self, task: str, *names: str) -> dict[str, dict[str, list[Any]]]:
        """A task's metrics, or those of these names: by name, the columns `attempt`, `step` (null
        where none was given), `at` (microseconds since 1970) and `value`, in order of time.

        Raises `ProjectorAway`.
        """
        return await metrics(self, task, names)

    async def abort(self, task: str, reason: str = "") -> Task:
        """End a task: at once if it waits, by a word to its agent if it runs. A gang ends whole."""
        written = await handle(self.bus.log, self.author, await self.get(task), Abort(reason))
        await tell_holders(self.bus.calls, (written.task, *written.others))
        return written.task

    async def retry(self, task: str, reason: str = "") -> Task:
        """Put a task that has ended back into its queue, with fresh budgets; a gang whole."""
        return await requeue(self.bus, self.author, await self.get(task), reason)

    async def clone(
        self,
        task: str,
        params: Mapping[str, object] | None = None,
        *,
        add: Mapping[str, object] | None = None,
        force: bool = False,
        **options: Unpack[Options],
    ) -> Receipt:
        """Enqueue a task once more as one of its own: the same code, with changes.

        `params` are other values of parameters that it has, `add` are new ones, and `force` lets a
        value have another type. The `options` are fields of `Spec`. Raises `NotFound` and
        `UsageError`.
        """
        return await clone(self, task, params or {}, add or {}, force=force, options=options)

    async def move(
        self,
        task: str,
        where: Where | None = None,
        *,
        queue: str | None = None,
        priority: int | None = None,
        reason: str = "",
    ) -> Outcome:
        """Let a task that waits stand elsewhere: `Front()`, `Back()`, `Step(by)`, `Before(task)`;
        without any at the end of its priority, as where it goes to another queue or priority.

        Raises `Conflict` if it does not wait, `ProjectorAway` if nobody knows who stands where.
        """
        return await move(self, task, where, queue, priority, reason)

    async def put(self, task: str, move: Move) -> Task:
        """Give a task that waits this very place."""
        check_name(move.queue, "queue")
        return await put_in_line(self.bus, self.author, await self.get(task), move)

    async def dequeue(self, task: str, reason: str = "") -> Task:
        """Take a task that waits out of its queue; it is what it was before."""
        known = await self.get(task)
        return (await handle(self.bus.log, self.author, known, Dequeue(reason))).task

    async def tunnel(
        self, task: str, port: int, *, host: str = LOOPBACK, listen: int = 0
    ) -> Tunnel:
        """Let a port of this machine lead to one of a running task, over the NATS server alone.

        `port` is one that the task declared, `listen` the one here; 0 is a free one. It is there
        until it is closed, as by `async with`. Raises `TunnelFailed`, `Conflict` and `NotFound`.
        """
        return await Tunnel(self.bus, self.author.by, task, port).listen(host, listen)

    async def artifacts(self, task: str) -> dict[str, Artifact]:
        """What the task with this whole id has saved, by name: of two with one name the later."""
        return artifacts_of(await self.get(task))

    async def load(
        self, task: str, name: str, to: str | os.PathLike[str] = ".", attempt: int | None = None
    ) -> Path:
        """Put an artifact of a task into the folder `to`, and return its path there.

        `task` is as for `resolve`. Without an `attempt` it is what was saved last. What was cut
        off goes on where it was. Raises `NotFound` or `ArtifactFailed`.
        """
        found = find_artifact(await self.get(await self.resolve(task)), name, attempt)
        return await artifacts.download(self.bus, found, Path(to) / name)

    async def tag(self, task: str, add: Sequence[str] = (), remove: Sequence[str] = ()) -> Task:
        """Give a task tags and take others away, whatever it does now; a gang whole."""
        return await filing.tag(self.bus, self.author, task, Tag(tuple(add), tuple(remove)))

    async def archive(self, task: str, reason: str) -> Task:
        """Let lists leave out a task that has ended; to retry it takes it out of the archive."""
        return await filing.file(self.bus, self.author, task, Archive(reason))

    async def unarchive(self, task: str, reason: str) -> Task:
        """Take a task out of the archive."""
        return await filing.file(self.bus, self.author, task, Unarchive(reason))

    # --- queues -------------------------------------------------------------------------------

    async def queue(self, name: str) -> QueueState:
        """What was done to a queue, as of now."""
        return await load_queue(self.bus.log, name)

    async def queues(self) -> dict[str, QueueState]:
        """Every queue that somebody did something to."""
        return await all_queues(self.bus)

    async def queue_names(self) -> set[str]:
        """The queues that tasks were ever enqueued to."""
        return await queue_names(self.bus)

    async def change_queue(self, event: QueueEvent) -> tuple[QueueState, QueueState]:
        """Append what somebody does to a queue, and return it before and after.

        Raises `Conflict` if it makes no sense there.
        """
        return await change_queue(self.bus, self.author, event)

    async def tally(self, queue: str) -> Tally:
        """A queue's limits, and which attempts are live under them, as of now."""
        return await load_tally(self.bus.log, queue)

    async def limit_queue(
        self, queue: str, most: int | None, per_user: int | None, reason: str
    ) -> tuple[Permits, Permits]:
        """Let at most so many attempts of a queue be live at once; its limits before and after.

        What runs goes on, and counts.
        """
        wanted = Permits(queue=queue, reason=reason, most=most, per_user=per_user)
        return await limit_queue(self, wanted)

    # --- services -----------------------------------------------------------------------------

    async def start_service(
        self,
        kind: str,
        name: str,
        *,
        code: Code | None = None,
        params: Mapping[str, str] | None = None,
        queue: str = SERVICES,
    ) -> Service:
        """Let the controller of a service run, unless it does already, as a task of a queue.

        `code` is what it finds in its folder, if it runs code of its user's.
        """
        return await services.start_service(self, kind, name, code=code, params=params, queue=queue)

    async def stop_service(self, kind: str, name: str, reason: str = "") -> Service:
        """End the controller of a service; what it has decided stays. Raises `NotFound`."""
        return await services.stop_service(self, kind, name, reason)

    async def service(self, kind: str, name: str) -> Service:
        """A service that was started, and the task of its last start. Raises `NotFound`."""
        return await services.service(self, kind, name)

    async def services(self, kind: str) -> list[Service]:
        """The services of a kind that were ever started."""
        return await services.services(self, kind)

    # --- questions ----------------------------------------------------------------------------

    def answer(self, question: Named | Sql) -> AsyncGenerator[Head | list[list[Any]], None]:
        """A projector's answer: a head, then lists of rows."""
        return answer(self.parts(question))

    def parts(self, question: Named | Sql) -> AsyncGenerator[bytes, None]:
        """A projector's answer in the bytes in which it is sent; `answer` reads them."""
        return parts(self.bus.calls, question)

    async def sql(
        self, query: str, params: Mapping[str, Any] | None = None, *, timeout: float = 30.0
    ) -> list[dict[str, Any]]:
        """The rows of a query in SQL, or of one that has a name (`@gpu-hours`), a dict for each.

        `params` are the values of `$NAME` in it; `timeout` is in seconds. `rows` gives them one by
        one. Raises `QueryFailed` and `ProjectorAway`.
        """
        return [row async for row in self.rows(question_of(query, params or {}, timeout))]

    # --- what happens -------------------------------------------------------------------------

    def watch(
        self, after: int = 0, subjects: Sequence[str] = (LIFECYCLE_SUBJECTS,)
    ) -> AsyncGenerator[Seen, None]:
        """Every event behind the sequence `after`, and then each new one, for ever.

        `subjects` are NATS patterns, such as `evq.t.QUEUE.*` for what happens to the tasks of a
        queue. Who keeps the sequence of what it saw last goes on there.
        """
        return watch(self.bus, after, subjects)

    def watch_metrics(
        self, after: int = 0, subjects: Sequence[str] = (TELEMETRY_SUBJECTS,)
    ) -> AsyncGenerator[Measured, None]:
        """The points of metrics behind the sequence `after`, and then new ones as they come.

        The sequences are those of what tasks say, not of the log.
        """
        return watch_metrics(self.bus, after, subjects)

    async def projected(self, timeout: float = POSITION_SECONDS) -> int:
        """How far a projector has read the log. Raises `ProjectorAway`."""
        return await projected(self.bus.calls, timeout)

    def rows(self, question: Named | Sql) -> AsyncGenerator[dict[str, Any], None]:
        """A projector's answer, a dict for each row."""
        return rows(self.answer(question))
