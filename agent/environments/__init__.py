"""Environments: from a task's code to what it runs in.

`detect` says what the code asks for, `prepare` makes it or finds it in the cache, and
`Cache.prune` removes what has not been used for longest.
"""

from .base import Environment, Manager, Recipe, Request, Toolbox
from .cache import Cache, Pruned
from .detect import detect
from .managers import prepare
from .toolbox import this_machine

__all__ = [
    "Cache",
    "Environment",
    "Manager",
    "Pruned",
    "Recipe",
    "Request",
    "Toolbox",
    "detect",
    "prepare",
    "this_machine",
]
