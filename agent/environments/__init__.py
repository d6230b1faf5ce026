"""Environments: from a task's code to what it runs in.

`detect` says what the code asks for, `prepare` makes it or finds it in the cache, and
`Cache.prune` removes what has not been used for longest.
"""

from .base import Environment, Manager, Recipe, Request
from .cache import Cache, Pruned
from .managers import detect, prepare

__all__ = ["Cache", "Environment", "Manager", "Pruned", "Recipe", "Request", "detect", "prepare"]
