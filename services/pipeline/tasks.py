"""The task of a part: its spec and its names, which follow from the run alone.

So a controller that is started anew asks for the very same tasks, and an enqueue that was done
already does nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from ...core import parameters, units
from ...core.artifacts import Input, read_input
from ...core.errors import UsageError
from ...core.ids import task_id_for_key
from ...core.spec import (
    Command,
    Container,
    Entry,
    Limits,
    Module,
    Repo,
    Script,
    Spec,
    check_spec,
)
from .decide import awaited
from .definition import Step
from .facts import Plan
from .references import as_text, resolve
from .run import Run
from .values import items, look, split


def key_of(run: Run, part: str) -> str:
    """What makes the part's task one: it is enqueued at most once under this key."""
    again = run.rounds.get(part, 0)
    return f"pipeline-{run.name}-{part}" + (f"-again{again}" if again else "")


def plan_of(run: Run, part: str) -> tuple[Plan, Spec]:
    """The plan of a part that may begin, and the spec of its task.

    Raises `UsageError` if what it is given makes no task.
    """
    spec = spec_of(run, part)
    # The newest commit of a branch is another one tomorrow.
    known = spec.repo is None or spec.repo.commit
    caches = known and run.definition.caches(split(part)[0])
    digest = digest_of(run, part, spec) if caches else ""
    return Plan(part, task_id_for_key(key_of(run, part)), digest), spec


def spec_of(run: Run, part: str) -> Spec:
    """The spec of the part's task, with the values of its references.

    Raises `UsageError` if they make no task.
    """
    name, index = split(part)
    step = run.definition.steps[name]

    def given(value: Any) -> Any:
        return resolve(value, lambda reference: look(run, name, index, reference))

    spec = replace(
        frame(step, run.created.queue),
        entry=_entry(step, given),
        name=f"{run.definition.name} {part}",
        tags=(f"pipeline:{run.name}", f"step:{name}", *step.tags),
        code=None if step.repo else run.code,
        variables=_texts(given(step.variables)),
        inputs=tuple(_inputs(step, given)),
        project=run.created.project,
        key=key_of(run, part),
        user=run.created.user,
        host=run.created.host,
    )
    return check_spec(_with_settings(spec, _texts(given(step.set))))


def frame(step: Step, queue: str) -> Spec:
    """What of a step's spec is known before it has any values. Raises `UsageError`."""
    return check_spec(
        Spec(
            entry=Command(("true",)),
            repo=_remote(step),
            name="",
            queue=step.queue or queue,
            priority=step.priority,
            manager=step.env or "auto",
            requirements=step.requirements,
            python=step.python,
            container=Container(step.image, step.docker_args) if step.image else None,
            setup=step.setup,
            apt=step.apt,
            secrets=step.secrets,
            retries=step.retries,
            timeout=_seconds(step.timeout),
            grace=_seconds(step.grace),
            limits=_limits(step),
            gpus=step.gpus,
            gpu_memory=_bytes(step.gpu_memory),
            needs=step.needs,
        )
    )


def _remote(step: Step) -> Repo | None:
    """The remote whose code the step runs, if it names one."""
    if step.repo and step.function:
        raise UsageError(
            "a function is code of the pipeline's own file, not of a repo",
            fix="script, module or command",
        )
    if step.repo:
        return Repo(step.repo, branch=step.branch, commit=step.commit)
    for name in ("branch", "commit"):
        if getattr(step, name):
            raise UsageError(f"{name} means nothing without repo", fix='repo = "https://…"')
    return None


def _entry(step: Step, given: Any) -> Entry:
    args = tuple(as_text(one) for one in given(step.args))
    if step.script:
        return Script(step.script, args)
    if step.module:
        return Module(step.module, args)
    if step.function:
        return Module("evq_steps", (step.function, json.dumps(given(step.arguments))))
    return Command((*(as_text(one) for one in given(step.command)), *args))


def _with_settings(spec: Spec, settings: dict[str, str]) -> Spec:
    """The spec with what `set` says, as `evq enqueue --set` does it."""
    for name, text in settings.items():
        if parameters.knows(spec, name):
            spec = parameters.override(spec, {name: text}, force=True)
        else:
            spec = replace(spec, params=spec.params | {name: text})
    return spec


def digest_of(run: Run, part: str, spec: Spec) -> str:
    """What all that the result follows from is known by: the code, what runs in it and with which
    values, the environment, and the tasks that came before.

    Those count even where nothing is taken of them: one that ran anew may have left something else
    behind. How much of a machine it gets, and how patiently, changes no result.
    """
    name, index = split(part)
    before = [
        # One that failed gave nothing, whichever task it was.
        result.task if result.outcome == "completed" else result.outcome
        for parent in run.graph.parents[name]
        for one in awaited(run, name, index, parent) or ()
        if (result := run.result(one))
    ]
    matters = {
        # Two that happen to run the same are two all the same: what follows tells them apart.
        "step": name,
        "item": None if index is None else (items(run, name) or [])[index],
        "tree": "" if spec.repo else run.tree,
        "folder": spec.code.folder if spec.code else "",
        "entry": spec.entry,
        "params": spec.params,
        "variables": spec.variables,
        "manager": spec.manager,
        "requirements": spec.requirements,
        "python": spec.python,
        "container": spec.container,
        "apt": spec.apt,
        "inputs": spec.inputs,
        "before": before,
    }
    # Where they say nothing, results of before there was such a thing are good.
    matters |= {name: told for name in ("repo", "setup") if (told := getattr(spec, name))}
    return hashlib.sha256(msgspec.json.encode(matters, order="sorted")).hexdigest()[:32]


def _inputs(step: Step, given: Callable[[Any], Any]) -> Iterator[Input]:
    """The artifacts that a step finds in its folder. Of a list, each is in a folder of its own,
    which has the number of its place."""
    for word in step.inputs:
        found = given(word)
        for place, one in enumerate(found if isinstance(found, list) else [found]):
            if one is None:
                continue  # the step that was to save it failed, and may
            task, name, path = read_input(str(one))
            yield Input(task, name, f"{place}/{name}" if isinstance(found, list) else path)


def _texts(values: dict[str, Any]) -> dict[str, str]:
    return {name: as_text(value) for name, value in values.items()}


def _seconds(written: str | float | None) -> float | None:
    return None if written is None else units.seconds(str(written))


def _bytes(written: str | int | None) -> int | None:
    return None if written is None else units.size(str(written))


def _limits(step: Step) -> Limits | None:
    found = Limits(_bytes(step.memory), step.cpus)
    return None if found == Limits() else found
