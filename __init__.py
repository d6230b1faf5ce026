"""evq: the queue and the workers that machine-learning experiments run on.

In a task, `import evq` gives `evq.log`, `evq.progress`, `evq.output`, `evq.save`, `evq.load`,
`evq.port` and `evq.params`; in the file of a pipeline `evq.pipeline`, `evq.step` and `evq.each`;
in any program, `evq.connect` gives a client. docs/python.md has the rest. The imports here are
absolute and lazy: pytest imports this file a second time under the checkout's name, and nobody
must pay for what he does not use.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evq.core.artifacts import Artifact as Artifact
    from evq.core.artifacts import Input as Input
    from evq.core.errors import Conflict as Conflict
    from evq.core.errors import Denied as Denied
    from evq.core.errors import EvqError as EvqError
    from evq.core.errors import NotFound as NotFound
    from evq.core.errors import ProjectorAway as ProjectorAway
    from evq.core.errors import QueryFailed as QueryFailed
    from evq.core.errors import Superseded as Superseded
    from evq.core.errors import Unreachable as Unreachable
    from evq.core.errors import UsageError as UsageError
    from evq.core.events import Outcome as Outcome
    from evq.core.journal import Noted as Noted
    from evq.core.journal import holder_of as holder_of
    from evq.core.sdk.blocking import BlockingClient as BlockingClient
    from evq.core.sdk.blocking import connect_blocking as connect_blocking
    from evq.core.sdk.client import Client as Client
    from evq.core.sdk.connect import connect as connect
    from evq.core.sdk.enqueueing import Receipt as Receipt
    from evq.core.sdk.journal import Journal as Journal
    from evq.core.sdk.journal import journals as journals
    from evq.core.sdk.lines import Line as Line
    from evq.core.sdk.moving import Back as Back
    from evq.core.sdk.moving import Before as Before
    from evq.core.sdk.moving import Front as Front
    from evq.core.sdk.moving import Step as Step
    from evq.core.sdk.services import Service as Service
    from evq.core.sdk.steps import each as each
    from evq.core.sdk.steps import pipeline as pipeline
    from evq.core.sdk.steps import step as step
    from evq.core.sdk.task import load as load
    from evq.core.sdk.task import log as log
    from evq.core.sdk.task import output as output
    from evq.core.sdk.task import params as params
    from evq.core.sdk.task import port as port
    from evq.core.sdk.task import progress as progress
    from evq.core.sdk.task import save as save
    from evq.core.sdk.tunnels.tunnel import Tunnel as Tunnel
    from evq.core.sdk.watch import Measured as Measured
    from evq.core.sdk.watch import Seen as Seen
    from evq.core.spec import After as After
    from evq.core.spec import Command as Command
    from evq.core.spec import Container as Container
    from evq.core.spec import Inline as Inline
    from evq.core.spec import Limits as Limits
    from evq.core.spec import Module as Module
    from evq.core.spec import Notebook as Notebook
    from evq.core.spec import Repo as Repo
    from evq.core.spec import Script as Script
    from evq.core.spec import Spec as Spec
    from evq.core.state import Ended as Ended
    from evq.core.state import Task as Task
    from evq.services.sweep.blocking import BlockingSweep as BlockingSweep
    from evq.services.sweep.blocking import sweep_blocking as sweep_blocking
    from evq.services.sweep.sweep import Sweep as Sweep
    from evq.services.sweep.sweep import sweep as sweep

_PLACES = {
    "core.sdk.task": "load log output params port progress save",
    "core.sdk.steps": "each pipeline step",
    "core.sdk.connect": "connect",
    "core.sdk.blocking": "connect_blocking BlockingClient",
    "core.sdk.client": "Client",
    "core.sdk.enqueueing": "Receipt",
    "core.spec": "Spec Command Inline Module Notebook Script After Container Limits Repo",
    "core.artifacts": "Artifact Input",
    "core.state": "Task Ended",
    "core.events": "Outcome",
    "core.sdk.lines": "Line",
    "core.sdk.moving": "Back Before Front Step",
    "core.sdk.watch": "Measured Seen",
    "core.sdk.journal": "Journal journals",
    "core.journal": "Noted holder_of",
    "core.sdk.services": "Service",
    "core.sdk.tunnels.tunnel": "Tunnel",
    "core.errors": "EvqError UsageError NotFound Conflict Denied Unreachable ProjectorAway"
    " QueryFailed Superseded",
    "services.sweep.blocking": "BlockingSweep sweep_blocking",
    "services.sweep.sweep": "Sweep sweep",
}
"""Where each public name is found, once it is asked for."""

_FOUND = {name: place for place, names in _PLACES.items() for name in names.split()}

__all__ = sorted(_FOUND)


def __getattr__(name: str) -> Any:
    if name not in _FOUND:
        raise AttributeError(f"module 'evq' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"evq.{_FOUND[name]}"), name)


def __dir__() -> list[str]:
    return __all__
