"""evq: the queue and the workers that machine-learning experiments run on.

In a task, `import evq` gives `evq.log`, `evq.progress`, `evq.save`, `evq.load` and `evq.params`; in
any program, `evq.connect` gives a client. The imports here are absolute and lazy: pytest imports
this file a second time under the checkout's name, and nobody must pay for what he does not use.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evq.core.errors import EvqError as EvqError
    from evq.core.journal import Noted as Noted
    from evq.core.sdk.blocking import BlockingClient as BlockingClient
    from evq.core.sdk.blocking import connect_blocking as connect_blocking
    from evq.core.sdk.client import Client as Client
    from evq.core.sdk.connect import connect as connect
    from evq.core.sdk.enqueueing import Receipt as Receipt
    from evq.core.sdk.journal import Journal as Journal
    from evq.core.sdk.journal import journals as journals
    from evq.core.sdk.task import load as load
    from evq.core.sdk.task import log as log
    from evq.core.sdk.task import params as params
    from evq.core.sdk.task import progress as progress
    from evq.core.sdk.task import save as save
    from evq.core.sdk.watch import Measured as Measured
    from evq.core.sdk.watch import Seen as Seen
    from evq.core.spec import Command as Command
    from evq.core.spec import Container as Container
    from evq.core.spec import Inline as Inline
    from evq.core.spec import Limits as Limits
    from evq.core.spec import Module as Module
    from evq.core.spec import Notebook as Notebook
    from evq.core.spec import Repo as Repo
    from evq.core.spec import Script as Script
    from evq.core.spec import Spec as Spec
    from evq.core.state import Task as Task

_ROOMS = {
    "evq.core.sdk.task": ("load", "log", "params", "progress", "save"),
    "evq.core.sdk.connect": ("connect",),
    "evq.core.sdk.blocking": ("BlockingClient", "connect_blocking"),
    "evq.core.sdk.client": ("Client",),
    "evq.core.sdk.enqueueing": ("Receipt",),
    "evq.core.spec": (
        *("Command", "Inline", "Module", "Notebook", "Script"),
        *("Container", "Limits", "Repo", "Spec"),
    ),
    "evq.core.state": ("Task",),
    "evq.core.sdk.watch": ("Measured", "Seen"),
    "evq.core.sdk.journal": ("Journal", "journals"),
    "evq.core.journal": ("Noted",),
    "evq.core.errors": ("EvqError",),
}
"""Where each public name is found."""

__all__ = [
    "BlockingClient",
    "Client",
    "Command",
    "Container",
    "EvqError",
    "Inline",
    "Journal",
    "Limits",
    "Measured",
    "Module",
    "Notebook",
    "Noted",
    "Receipt",
    "Repo",
    "Script",
    "Seen",
    "Spec",
    "Task",
    "connect",
    "connect_blocking",
    "journals",
    "load",
    "log",
    "params",
    "progress",
    "save",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for room, names in _ROOMS.items():
        if name in names:
            return getattr(import_module(room), name)
    raise AttributeError(f"module 'evq' has no attribute {name!r}")
