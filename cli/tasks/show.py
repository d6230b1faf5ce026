"""`evq show`: everything about a task, folded from the log itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from ...core import parameters
from ...core.arrays.array import Array
from ...core.cleaning.cleaned import removal_texts
from ...core.errors import ProjectorAway
from ...core.handle import load_gang
from ...core.questions import Named
from ...core.spec import Limits, Spec
from ...core.state import Archival, Attempt, Ended, Task
from ...core.units import duration_text, size_text
from ...core.words import sentence as words
from ...core.words.narrate import phase_text
from .. import output
from ..calling import call
from ..completion import complete_task
from ..options import as_of_option, json_option
from ..output import Column, dim
from ..selectors import array_named, resolve
from ..submit.after import after_text
from ..submit.array import array_facts, say_array
from ..submit.gang import gang_facts, member_lines
from ..submit.inputs import inputs_text
from .difference import shown
from .document import masked, task_facts
from .get import artifact_lines
from .logs import last_lines
from .remedy import LAST_LINES, explanation, failed
from .render import age, clock, code_text, colored, end_text, marked, now, repo_text, span

if TYPE_CHECKING:
    from ...core.past import When
    from ...core.sdk.client import Client

Metrics = list[dict[str, Any]]
LABEL = 10

Shown = tuple[Task, list[Task] | None, Metrics | None, Metrics | None, list[str]]


@click.command()
@click.argument("task", default="@", shell_complete=complete_task)
@as_of_option
@json_option
def show(task: str, as_of: When | None, as_json: bool) -> None:
    """Print everything about a task: by default the last one you enqueued.

    \b
    Examples:
      evq show
      evq show k3f9
      evq show k3f9 --as-of "10m ago"
      evq show @~1 --json | jq .attempts[0].environment.packages
    """
    answer = call(lambda client: _look(client, task), as_of=as_of)
    if isinstance(answer[0], Array):
        _show_array(answer[0], answer[1], as_json)
        return
    found, members, metrics, remarks, lines = answer
    if as_json:
        more = {"metrics": metrics, "remarks": remarks, "last_lines": lines}
        output.say_json(task_facts(found) | {"gang": members and gang_facts(members)} | more)
        return
    for line in page(found):
        output.say(line)
    if members:
        output.say()
        output.say(output.bold(f"gang of {len(members)}"))
        for line in member_lines(members):
            output.say(f"  {line}")
    if metrics:
        output.say()
        _show_metrics(metrics)
    if remarks:
        output.say()
        for kind, title in (("param", "logged"), ("tag", "tags")):
            if said := {row["name"]: row["value"] for row in remarks if row["kind"] == kind}:
                output.say(_label(title, _pairs(said)))
    if failed(found):
        output.say()
        for line in explanation(found, lines):
            output.say(line)
    output.say()
    output.say(dim(next_commands(found)))


def _show_array(array: Array, members: list[Task], as_json: bool) -> None:
    if as_json:
        output.say_json(array_facts(array, members))
    else:
        say_array(array, members)


async def _look(client: Client, selector: str) -> tuple[Array, list[Task]] | Shown:
    """An array with its members, or all about a task."""
    if array := await array_named(client, selector):
        return array, await client.members(array.id)
    return await _ask(client, selector)


async def _ask(client: Client, selector: str) -> Shown:
    """The task, the members of its gang if it has one, its metrics and its remarks if a projector
    answers, and its last lines if it failed."""
    task = await client.get(await resolve(client, selector))
    members = await load_gang(client.bus.log, task) if task.spec.gang else None
    if not task.attempts:
        return task, members, [], [], []
    lines = await last_lines(client, task, LAST_LINES) if failed(task) else []
    try:
        metrics, remarks = [
            [row async for row in client.rows(Named(question, {"task": task.id}))]
            for question in ("metrics", "remarks")
        ]
    except ProjectorAway:
        return task, members, None, None, lines
    return task, members, metrics, remarks, lines


def page(task: Task) -> list[str]:
    """The task for people, line by line."""
    spec = task.spec
    lines = [
        f"task {output.bold(task.id)}  {spec.name}",
        _label("state", sentence(task)),
        _label("asked", f"{age(task.enqueued)} ago by {task.by} ({clock(task.enqueued)})"),
        _label("queue", f"{task.place.queue}, priority {task.place.priority}"),
        *([_label("archived", _archived(task.archived))] if task.archived else ()),
        _label("command", task_facts(task)["command"]),
    ]
    if spec.repo:
        lines.append(_label("code", repo_text(spec.repo)))
    if spec.code:
        lines.append(_label("code", code_text(spec.code)))
        lines.append(_label("", dim(f"snapshot {spec.code.snapshot[:12]}, in {spec.code.folder}")))
    for name, text in (
        ("params", _parameters(spec)),
        ("setenv", _pairs({k: masked(k, v) for k, v in spec.variables.items()})),
        (
            "docker",
            " ".join((spec.container.image, *spec.container.args)) if spec.container else "",
        ),
        ("apt", " ".join(spec.apt)),
        ("secrets", " ".join(spec.secrets)),
        ("client", "it has a login to the server" if spec.client else ""),
        ("ports", ", ".join(map(str, spec.ports))),
        ("tags", " ".join(task.tags)),
        ("limits", _limits(task)),
        ("after", after_text(task)),
        ("inputs", inputs_text(spec.inputs)),
        ("awaited by", ", ".join(task.awaited_by)),
        ("outputs", _outputs(task)),
        ("parent", spec.parent or ""),
        ("key", spec.key or ""),
        *(("gone", text) for text in removal_texts(task)),
    ):
        if text:
            lines.append(_label(name, text))
    for attempt in task.attempts:
        lines += ["", *attempt_lines(attempt)]
    return lines


def _archived(one: Archival) -> str:
    return f"{age(one.at)} ago by {one.by}: {one.reason}"


def _label(name: str, text: str) -> str:
    return f"  {dim(name.ljust(LABEL))} {text}"


def _pairs(values: dict[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())


def _outputs(task: Task) -> str:
    """What it gave out, each value cut to a few words."""
    given = task.state.outputs if isinstance(task.state, Ended) else {}
    words = {name: msgspec.json.encode(value).decode() for name, value in given.items()}
    return _pairs(
        {name: word if len(word) <= 60 else f"{word[:59]}…" for name, word in words.items()}
    )


def _parameters(spec: Spec) -> str:
    """All but the environment, which has a line of its own."""
    values = parameters.values(spec)
    return _pairs({name: shown(name, value) for name, value in values.items()})


def _limits(task: Task) -> str:
    spec, limits = task.spec, task.spec.limits or Limits()
    parts = [
        f"{spec.retries} retries ({task.failures} used)" if spec.retries else "",
        f"time {duration_text(spec.timeout)}" if spec.timeout else "",
        f"grace {duration_text(spec.grace)}" if spec.grace else "",
        f"kept {duration_text(spec.keep)} after a failure" if spec.keep is not None else "",
        f"memory {size_text(limits.memory)}" if limits.memory else "",
        f"cpus {limits.cpus:g}" if limits.cpus else "",
        f"processes {limits.processes}" if limits.processes else "",
        f"gpus {spec.gpus}" if spec.gpus else "",
        f"{size_text(spec.gpu_memory)} of a GPU" if spec.gpu_memory else "",
        ", ".join(f"{name}={value}" for name, value in spec.needs.items()),
    ]
    return ", ".join(filter(None, parts))


def sentence(task: Task) -> str:
    """The state in one sentence."""
    return words.sentence(task, now(), colored(marked(task.name_of_state)))


def _gpus(attempt: Attempt) -> str:
    memory = attempt.gpu_memory
    return ", ".join(attempt.gpus) + (f", {size_text(memory)} of each" if memory else "")


def attempt_lines(attempt: Attempt) -> list[str]:
    """One attempt: where, which steps took how long, how it ended."""
    end, launch, environment = attempt.end, attempt.launch, attempt.environment
    head = f"attempt {attempt.number} on {attempt.agent}, claimed {clock(attempt.claimed)}"
    lines = [output.bold(head)]
    if attempt.gpus:
        lines.append(_label("gpus", _gpus(attempt)))
    lines += [
        _label("", phase_text(one.name, one.seconds, one.cached, one.detail))
        for one in attempt.phases
    ]
    if attempt.commit:
        lines.append(_label("commit", attempt.commit))
    if environment:
        python = f", Python {environment.python}" if environment.python else ""
        count = f"{len(environment.packages)} packages" if environment.packages else "no packages"
        lines.append(_label("with", f"{environment.manager}{python}, {count}"))
        if environment.image:
            lines.append(_label("in", f"image {environment.image}"))
    if launch:
        lines.append(_label("ran", f"{' '.join(launch.argv)}  {dim(f'pid {launch.pid}')}"))
    lines += [_label("saved", line) for line in artifact_lines(attempt.saved)]
    if end:
        how = end_text(end.exit_code, end.cause)
        word = colored(marked(end.outcome.value if end.outcome else "lost"))
        took = attempt.seconds
        after = f" after {span(took)}" if took is not None else ""
        lines.append(_label("ended", f"{word}{after}{f', {how}' if how else ''}"))
        if end.evidence and end.evidence != how:
            lines.append(_label("", end.evidence))
        if end.usage:
            used = f"{span(end.usage.wall)} wall, {span(end.usage.cpu)} cpu"
            memory = f", {size_text(end.usage.max_rss)} at most" if end.usage.max_rss else ""
            lines.append(_label("used", used + memory))
    return lines


def _show_metrics(metrics: Metrics) -> None:
    columns = [
        Column("METRIC", soft=True),
        *(Column(title, right=True) for title in ("LAST", "STEP", "MIN", "MAX", "POINTS")),
    ]
    rows = [
        (
            row.get("name"),
            *(_number(row.get(key)) for key in ("value", "step", "min", "max", "n")),
        )
        for row in metrics
    ]
    output.say_table(columns, rows)


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "" if value is None else str(value)


def next_commands(task: Task) -> str:
    """What one may want to do now."""
    return "next  " + "   ".join(words.next_verbs(task))
