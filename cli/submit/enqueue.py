"""`evq enqueue`, and the part of `evq run` before the task runs."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ...core.arrays.array import parse_array
from ...core.artifacts import read_input
from ...core.events import Cause
from ...core.fleet.presence import AgentPresence
from ...core.fleet.services import unfit
from ...core.ports import BusAway
from ...core.queueing.queues import QueueState
from ...core.sdk.sending import send, with_code
from ...core.sdk.snapshot import Snapshot
from ...core.spec import Spec, argv_text, check_spec
from ...core.state import Ended, Task
from .. import output
from ..calling import call, settings, warm_up
from ..options import json_option
from ..tasks.document import looks_secret, spec_facts
from ..tasks.recent import remember
from ..tasks.render import code_text, repo_text
from .after import after_text, resolve_after, split
from .array import Plan, array_option, enqueue_plan, plan_text
from .gang import gang_warnings
from .inputs import resolve_inputs
from .request import make_entry, make_spec
from .unserved import autoscaler_for, say_unserved
from .wish import TaskCommand, Wish, make_wish, task_options

if TYPE_CHECKING:
    from ...core.sdk.autoscalers import Autoscaler
    from ...core.sdk.client import Client
    from ...core.sdk.enqueueing import Receipt


class Submission(msgspec.Struct, frozen=True):
    """A task that the server has: what was sent for it, and who may run it."""

    receipt: Receipt
    spec: Spec
    sent: int | None
    agents: tuple[AgentPresence, ...]
    queue: QueueState
    held: Task | None = None
    """The task as it is, if it awaits others."""
    members: tuple[str, ...] = ()
    """Those of an array, of which `receipt` is."""
    autoscaler: Autoscaler | None = None
    """Which starts a machine for the task, if no agent serves its queue."""

    @property
    def served(self) -> bool:
        """Whether an agent that takes new tasks serves the queue, and the queue is open."""
        return not self.queue.pause and any(
            self.spec.queue in one.queues and one.takes for one in self.agents
        )


@click.command(cls=TaskCommand)
@task_options
@array_option
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@click.option("--quiet", is_flag=True, help="Print the task's id, and nothing else.")
@json_option
def enqueue(array: str | None, dry_run: bool, quiet: bool, as_json: bool, **options: Any) -> None:
    """Enqueue a task: your code as it is on disk now, and what to run in it.

    In a git repository the whole work tree travels, with changes that are not committed and
    files that are not tracked, but without what .gitignore names.

    With --array there are many tasks, an array: in each of them {index} in the name, the
    arguments, --set and --setenv is its index, {index:03} the same with zeros. The array has an id
    like a task; ID/3-7 names some of its members.

    \b
    Examples:
      evq enqueue train.py -- --lr 0.1
      evq enqueue --array 0-99%8 train.py -- --seed {index}
      evq enqueue -q gpu --timeout 2h -m pkg.train -- --epochs 3
      evq enqueue -- python -c "print('hello')"
    """
    warm_up()
    wish = make_wish(options)
    plan = parse_array(array) if array else None
    spec = first_draft(wish)
    with code_of(spec, wish) as (complete, snapshot):
        if dry_run:
            _show_plan(complete, snapshot, as_json, plan)
            return
        done = call(lambda client: submit(client, complete, snapshot, wish, plan))
    if as_json:
        output.say_json(facts_of(done))
    elif quiet:
        output.say(done.receipt.task)
    else:
        _show(done, snapshot)


def first_draft(wish: Wish) -> Spec:
    """What the command line asks for, without its code and the tasks that it awaits.

    Raises `UsageError`.
    """
    for word in wish.after:
        split(word)
    for word in wish.input:
        read_input(word)
    return check_spec(make_spec(wish, make_entry(wish, Path.cwd()), settings().queue))


def code_of(spec: Spec, wish: Wish) -> AbstractContextManager[tuple[Spec, Snapshot | None]]:
    """`spec` with the code of this folder, and the snapshot as long as the block lasts."""
    return with_code(spec, Path.cwd(), include=wish.include, code=not wish.no_code)


async def submit(
    client: Client, spec: Spec, snapshot: Snapshot | None, wish: Wish, plan: Plan | None = None
) -> Submission:
    """Send the code, enqueue the task, or the array of a plan, and see who may run it."""
    if wish.after or wish.input:
        after = await resolve_after(client, wish.after)
        inputs = await resolve_inputs(client, wish.input)
        spec = check_spec(msgspec.structs.replace(spec, after=after, inputs=inputs))
    return await hand_in(client, spec, await send(client, snapshot) if snapshot else None, plan)


async def hand_in(
    client: Client, spec: Spec, sent: int | None, plan: Plan | None = None
) -> Submission:
    """Enqueue a task whose code the server has, and see who may run it."""
    enqueued, agents, queue = await asyncio.gather(
        _enqueue(client, spec, plan), client.agents(), _queue(client, spec.queue)
    )
    receipt, members = enqueued
    remember(settings().server or "", [receipt.task])
    held = await client.get(members[0] if members else receipt.task) if spec.after else None
    done = Submission(receipt, spec, sent, tuple(agents), queue, held, members)
    if done.served or queue.pause:
        return done
    return msgspec.structs.replace(done, autoscaler=await autoscaler_for(client, spec))


async def _enqueue(
    client: Client, spec: Spec, plan: Plan | None
) -> tuple[Receipt, tuple[str, ...]]:
    if plan:
        return await enqueue_plan(client, spec, plan)
    return await client.enqueue(spec), ()


async def _queue(client: Client, name: str) -> QueueState:
    try:
        return await client.queue(name)
    except BusAway:
        return QueueState(name)  # a server that evq has not used before


def facts_of(done: Submission) -> dict[str, Any]:
    """What `--json` prints of a task that was enqueued."""
    receipt = done.receipt
    facts = {"task": receipt.task, "seq": receipt.seq, "new": receipt.new, "served": done.served}
    facts["paused"] = done.queue.pause.reason if done.queue.pause else None
    facts["autoscaler"] = done.autoscaler.name if done.autoscaler else None
    members = {"members": done.members} if done.members else {}
    return facts | spec_facts(done.spec) | members | {"sent_bytes": done.sent}


def _show_plan(spec: Spec, snapshot: Snapshot | None, as_json: bool, plan: Plan | None) -> None:
    if as_json:
        output.say_json({"task": None} | spec_facts(spec))
        return
    output.say(f"would enqueue {argv_text(spec.entry)} on queue {spec.queue}")
    if plan:
        output.say(f"  array  {plan_text(plan)}")
    if snapshot:
        output.say(f"  code   {code_text(snapshot.code)}")
        warn_of_code(snapshot)
    elif spec.repo:
        output.say(f"  code   {repo_text(spec.repo)}")
    else:
        output.say("  code   none is sent")


def _show(done: Submission, snapshot: Snapshot | None) -> None:
    """On a terminal everything goes to it; else stdout gets the id, so that `$(…)` just works."""
    task = done.receipt.task
    if output.on_terminal():
        for line in summary(done):
            output.say(line)
    else:
        output.say(task)
        for line in summary(done):
            output.note(line)
    if snapshot:
        warn_of_code(snapshot)
    warn_of_queue(done)
    warn_of_dependency(done)
    warn_of_service(done)
    warn_of_variables(done.spec)
    output.note(
        f"  {output.dim('follow')} evq {'show' if done.members else 'logs'} {task}"
        f"{'' if done.members else ' -f'}    {output.dim('stop')} evq abort {task}"
    )


def summary(done: Submission) -> list[str]:
    """The task in two or three lines."""
    receipt, spec = done.receipt, done.spec
    kind = f"array of {len(done.members)}" if done.members else "task"
    head = f"{kind} {output.bold(receipt.task)}  {argv_text(spec.entry)}"
    if spec.nodes > 1:
        head += f"  {output.dim('nodes')} {spec.nodes}"
    lines = [f"{head}  {output.dim('queue')} {spec.queue}"]
    if not receipt.new:
        lines.append(f"  {output.dim('key')}    {spec.key} was used before: this is that task")
    elif spec.code:
        lines.append(f"  {output.dim('code')}   {code_text(spec.code, done.sent)}")
    elif spec.repo:
        lines.append(f"  {output.dim('code')}   {repo_text(spec.repo)}")
    if done.held:
        lines.append(f"  {output.dim('after')}  {after_text(done.held)}")
    return lines


def warn_of_dependency(done: Submission) -> None:
    """Say so if the task can never run, because one that it awaits has ended in another way."""
    task = done.held
    if task and isinstance(task.state, Ended) and task.state.cause == Cause.DEPENDENCY:
        output.warn(
            f"it will not run: {task.state.evidence}",
            f"{output.dim('run it all the same')} evq retry {task.id}",
        )


def warn_of_code(snapshot: Snapshot) -> None:
    """Say what does not travel as one might expect."""
    for sentence in snapshot.warnings:
        output.warn(sentence)


def warn_of_variables(spec: Spec) -> None:
    """Say so if a variable's value had better not be in the log."""
    for name in filter(looks_secret, spec.variables):
        output.warn(
            f"{name} looks like a secret, and its value is stored for everybody to read",
            f"{output.dim('better')} --secret {name}: the agent knows the value",
        )


def warn_of_service(done: Submission) -> None:
    """Say so if the task is none of the light ones for which its queue's agents are."""
    serving = [one for one in done.agents if done.spec.queue in one.queues]
    if not serving or not all(one.services for one in serving):
        return
    for why in unfit(done.spec):
        output.warn(
            f"queue {done.spec.queue!r} is for services, many light tasks at once: {why}",
            f"{output.dim('better')} another queue: evq queues lists them",
        )


def warn_of_queue(done: Submission) -> None:
    """Say so if nobody would take the task."""
    queue = done.spec.queue
    for sentence in gang_warnings(done.spec, done.agents) if done.receipt.new else ():
        output.warn(sentence)
    serving = [one for one in done.agents if queue in one.queues]
    if done.spec.client and serving and not any(one.client for one in serving):
        output.warn(
            f"the agents of queue {queue!r} give tasks no login to the server, and would refuse it",
            f"{output.dim('better')} -q services, or an agent with --allow-client",
        )
    if done.served or not done.receipt.new:
        return
    if pause := done.queue.pause:
        output.warn(
            f"queue {queue!r} is paused, so the task waits: {pause.reason} ({pause.by})",
            f"{output.dim('go on')} evq queue resume {queue}",
        )
        return
    if paused := [one for one in done.agents if queue in one.queues and one.paused]:
        output.warn(
            f"the agents of queue {queue!r} have paused, so the task waits",
            *(f"{output.dim(one.agent)} {one.paused}" for one in paused),
        )
        return
    say_unserved(queue, "task", done.agents, done.autoscaler)
