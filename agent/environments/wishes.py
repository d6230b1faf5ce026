"""What may be wished of each manager; what it cannot grant is refused, never left out."""

from __future__ import annotations

from ...core.addresses import masked
from ...core.errors import EnvironmentFailed
from .base import Recipe, Request

_GRANTED = {
    "uv": {"--requirement", "--python", "--index", "--constraint", "--torch-backend"},
    "pip": {"--requirement", "--python", "--index", "--constraint"},
    "poetry": {"--python"},
    "conda": {"--requirement", "--python"},
    "system": {"--python"},
    "agent": set(),
    "none": set[str](),
}
_WHY = {
    "pip": "pip knows nothing of a machine's GPU",
    "poetry": "poetry takes packages and indexes from pyproject.toml alone: poetry add, "
    "poetry source add",
    "conda": "conda takes packages and channels from environment.yml alone",
    "system": "with the manager `system` nothing is installed",
    "agent": "with the manager `agent` a task runs with the Python of its agent, as it is",
    "none": "with the manager `none` a task runs on the machine as it is",
}
_LOCKED = ("lock", "pylock", "script-lock")


def check_wishes(manager: str, request: Request, recipe: Recipe | None = None) -> None:
    """Raise `EnvironmentFailed` if `manager` cannot grant what `request` wishes."""
    asked = {
        "--requirement": request.requirements,
        "--python": (request.python,) if request.python is not None else (),
        "--index": request.indexes,
        "--constraint": request.constraints,
        "--torch-backend": (request.torch_backend,) if request.torch_backend else (),
    }
    for option, values in asked.items():
        if not values or manager == "auto":
            continue
        words = ", ".join(masked(value) for value in values)
        if option not in _GRANTED[manager]:
            raise _refused(manager, option, words)
        if recipe and recipe.kind in _LOCKED and option in ("--constraint", "--torch-backend"):
            raise EnvironmentFailed(
                f"{option} {words} cannot change what {recipe.source} has locked",
                why="a lock names the exact files, so there is nothing left to choose",
                fix=f"leave {option} out, or name requirements: -r requirements.txt",
            )


def _refused(manager: str, option: str, words: str) -> EnvironmentFailed:
    if manager in ("none", "system", "agent"):
        what = f"{words} cannot be provided without an environment"
    else:
        what = f"{manager} cannot grant {option} {words}"
    return EnvironmentFailed(what, why=_WHY[manager], fix="--env uv")
