"""No environment: the task runs with what the machine has on its PATH."""

from __future__ import annotations

from .base import Environment, Recipe, Site


class Nothing:
    """The manager `none`."""

    name = "none"

    async def prepare(self, recipe: Recipe, site: Site) -> Environment:
        """An environment that changes nothing."""
        return Environment(manager=self.name, key="", cached=True)
