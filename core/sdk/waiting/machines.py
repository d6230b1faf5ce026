"""A task whose queue nobody serves now, and for which an autoscaler starts a machine."""

from __future__ import annotations

from collections.abc import Sequence

from ...spec import Spec
from ...state import Running
from ...words.phrases import ago
from ..autoscalers import Autoscaler


def starter(autoscalers: Sequence[Autoscaler], spec: Spec) -> Autoscaler | None:
    """The first that has machines which could run the task."""
    return next((one for one in autoscalers if not one.lacks(spec)), None)


def machine_text(autoscaler: Autoscaler, spec: Spec, now: int) -> tuple[bool, str]:
    """What an autoscaler does for the task, and whether that is as it should be. `now` is in
    microseconds since 1970."""
    name, controller = f"autoscaler {autoscaler.name}", autoscaler.controller
    if lacking := autoscaler.lacks(spec):
        return False, f"{name}: none of its machines could run it, lacks {', '.join(lacking)}"
    if controller and not isinstance(controller.state, Running):
        return False, f"{name}: its controller, task {controller.id}, is {controller.name_of_state}"
    last = ago(autoscaler.at, now)
    return True, f"{name}: {autoscaler.words} ({last} ago)  (evq autoscaler show {autoscaler.name})"
