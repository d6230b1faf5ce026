"""A task as the JSON of the command line; docs/cli.md says what the fields mean.

Fields are only ever added. Times are RFC 3339 in UTC, spans are seconds, sizes bytes.
"""

from __future__ import annotations

from typing import Any

from ...core import parameters, status
from ...core.artifacts import Artifact
from ...core.parameters import Parameter
from ...core.spec import Code, Spec, argv_text
from ...core.state import Attempt, Ended, Held, Queued, Task
from ...core.words.masking import MASK as MASK
from ...core.words.masking import looks_secret as looks_secret
from ...core.words.masking import masked as masked
from .render import iso


def exit_status(task: Task) -> int:
    """What a shell would say of a task that ended; 0 of one that has not."""
    state = task.state
    return status.exit_status(state.outcome, state.exit_code) if isinstance(state, Ended) else 0


def spec_facts(spec: Spec) -> dict[str, Any]:
    """What was asked for."""
    return {
        "name": spec.name,
        "queue": spec.queue,
        "priority": spec.priority,
        "command": argv_text(spec.entry),
        "entry": spec.entry,
        "tags": spec.tags,
        "params": spec.params,
        "parameters": [parameter_facts(one) for one in parameters.read(spec)],
        "secrets": list(spec.secrets),
        "client": spec.client,
        "ports": spec.ports,
        "tools": spec.tools,
        "variables": {name: masked(name, value) for name, value in spec.variables.items()},
        "env": spec.manager,
        "requirements": spec.requirements,
        "python": spec.python,
        "container": spec.container
        and {"image": spec.container.image, "args": spec.container.args},
        "setup": spec.setup,
        "apt": spec.apt,
        "indexes": spec.indexes,
        "constraints": spec.constraints,
        "torch_backend": spec.torch_backend,
        "retries": spec.retries,
        "timeout": spec.timeout,
        "grace": spec.grace,
        "keep": spec.keep,
        "limits": spec.limits,
        "gpus": spec.gpus,
        "gpu_memory": spec.gpu_memory,
        "needs": spec.needs,
        "nodes": spec.nodes,
        "gang_rank": spec.gang and spec.gang.rank,
        "array": spec.array,
        "project": spec.project,
        "after": spec.after,
        "inputs": spec.inputs,
        "key": spec.key,
        "parent": spec.parent,
        "user": spec.user,
        "host": spec.host,
        "code": code_facts(spec.code),
        "repo": spec.repo,
    }


def parameter_facts(one: Parameter) -> dict[str, Any]:
    """A parameter: where it stands, and its value as its type."""
    hidden = one.where == "environment" and masked(one.name, "") == MASK
    value = MASK if hidden else one.value
    return {"name": one.name, "value": value, "where": one.where, "type": one.type}


def code_facts(code: Code | None) -> dict[str, Any] | None:
    """Where the code came from."""
    if code is None:
        return None
    return {
        "snapshot": code.snapshot,
        "commit": code.commit,
        "branch": code.branch,
        "remote": code.remote,
        "changes": code.changes,
        "unpushed": code.unpushed,
        "folder": code.folder,
    }


def brief_facts(task: Task) -> dict[str, Any]:
    """A task in a list of several."""
    ended = task.state if isinstance(task.state, Ended) else None
    return {
        "task": task.id,
        "name": task.spec.name,
        "queue": task.place.queue,
        "state": task.name_of_state,
        "exit_status": exit_status(task) if ended else None,
        "cause": ended.cause if ended else None,
    }


def task_facts(task: Task) -> dict[str, Any]:
    """Everything about a task."""
    state = task.state
    ended = state if isinstance(state, Ended) else None
    return {
        "task": task.id,
        "state": task.name_of_state,
        **spec_facts(task.spec_now),
        "rank": task.place.rank,
        "by": task.by,
        "enqueued_at": iso(task.enqueued),
        "waiting_since": iso(state.since) if isinstance(state, Held | Queued) else None,
        "ended_at": iso(ended.at) if ended else None,
        "outcome": ended.outcome if ended else None,
        "cause": ended.cause if ended else None,
        "evidence": ended.evidence if ended else "",
        "exit_code": ended.exit_code if ended else None,
        "exit_status": exit_status(task) if ended else None,
        "archived_at": iso(task.archived.at) if task.archived else None,
        "removed": [
            {"what": one.what, "at": iso(one.at), "by": one.by, "reason": one.reason}
            for one in task.removed
        ],
        "outputs": ended.outputs if ended else {},
        "awaited_by": task.awaited_by,
        "abort_requested": task.abort.reason if task.abort else None,
        "attempts": [attempt_facts(attempt) for attempt in task.attempts],
        "seq": task.seq,
        "origin": task.origin,
    }


def attempt_facts(attempt: Attempt) -> dict[str, Any]:
    """One try of an agent."""
    launch, end, environment = attempt.launch, attempt.end, attempt.environment
    return {
        "number": attempt.number,
        "agent": attempt.agent,
        "slot": attempt.slot,
        "gpus": attempt.gpus,
        "claim": attempt.claim,
        "claimed_at": iso(attempt.claimed),
        "phases": [
            {"name": p.name, "seconds": p.seconds, "cached": p.cached, "detail": p.detail}
            for p in attempt.phases
        ],
        "commit": attempt.commit,
        "environment": environment
        and {
            "manager": environment.manager,
            "python": environment.python,
            "key": environment.key,
            "packages": {package.name: package.version for package in environment.packages},
            "image": environment.image,
        },
        "started_at": iso(launch.at) if launch else None,
        "pid": launch.pid if launch else None,
        "host": launch.host if launch else None,
        "argv": launch.argv if launch else None,
        "ended_at": iso(end.at) if end else None,
        "outcome": end.outcome if end else None,
        "cause": end.cause if end else None,
        "evidence": end.evidence if end else "",
        "exit_code": end.exit_code if end else None,
        "seconds": attempt.seconds,
        "usage": end.usage if end else None,
        "artifacts": [artifact_facts(one) for one in attempt.saved],
    }


def artifact_facts(one: Artifact) -> dict[str, Any]:
    """An artifact for programs."""
    return {
        "name": one.name,
        "size": one.size,
        "digest": one.digest,
        "folder": one.folder,
        "saved_at": iso(one.at),
        "depot": one.depot,
    }
