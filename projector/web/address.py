"""What a page shows, in its address, so that it can be shared and is there after a reload."""

from __future__ import annotations

import json
from urllib.parse import urlencode

from nicegui import ui


class Address:
    """The query of a page's address. What is empty is left out of it."""

    def __init__(self, path: str, **values: str) -> None:
        self._path = path
        self._values = values
        self._client = ui.context.client

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def set(self, **values: str) -> None:
        """Change it, in the browser, too; the page stays as it is."""
        self._values |= values
        self.write()

    def write(self) -> None:
        """Let the browser's address be this one."""
        script = f'history.replaceState({{}}, "", {json.dumps(self.text)});'
        self._client.run_javascript(script)

    @property
    def text(self) -> str:
        """The address below the host."""
        query = urlencode({name: value for name, value in self._values.items() if value})
        return f"{self._path}?{query}" if query else self._path
