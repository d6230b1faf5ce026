"""evq: the queue and the workers that machine-learning experiments run on.

In a task, `import evq` gives `evq.log`, `evq.progress`, `evq.save`, `evq.load` and `evq.params`.
The imports here are absolute and lazy: pytest imports this file a second time under the
checkout's name, and the command line must not pay for what it does not use.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evq.core.sdk.task import load as load
    from evq.core.sdk.task import log as log
    from evq.core.sdk.task import params as params
    from evq.core.sdk.task import progress as progress
    from evq.core.sdk.task import save as save

__all__ = ["load", "log", "params", "progress", "save"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from evq.core.sdk import task

        return getattr(task, name)
    raise AttributeError(f"module 'evq' has no attribute {name!r}")
