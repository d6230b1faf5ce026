"""evq: the queue and the workers that machine-learning experiments run on.

In a task, `import evq` gives `evq.log`, `evq.progress`, `evq.output` and `evq.params`; in the file
of a pipeline, `evq.pipeline`, `evq.step` and `evq.each`. The imports here are absolute and lazy:
pytest imports this file a second time under the checkout's name, and the command line must not
pay for what it does not use.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evq.core.sdk.steps import each as each
    from evq.core.sdk.steps import pipeline as pipeline
    from evq.core.sdk.steps import step as step
    from evq.core.sdk.task import log as log
    from evq.core.sdk.task import output as output
    from evq.core.sdk.task import params as params
    from evq.core.sdk.task import progress as progress

__all__ = ["each", "log", "output", "params", "pipeline", "progress", "step"]


def __getattr__(name: str) -> Any:
    if name in ("each", "pipeline", "step"):
        from evq.core.sdk import steps

        return getattr(steps, name)
    if name in __all__:
        from evq.core.sdk import task

        return getattr(task, name)
    raise AttributeError(f"module 'evq' has no attribute {name!r}")
