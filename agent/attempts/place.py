"""Where the commands of an attempt run: on the machine itself, or in a container."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path

from ...core.errors import TunnelFailed
from ...core.tunnels.hello import FREE
from ..supervision.forkserver import Supervisor
from .execution import Execution

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Place:
    """A supervisor, the commands that run under it, and what they find there.

    `variables` are those of the container, None for the machine's own; `image` is the digest of
    the image, and `again` how another container like this one is made, as words of `docker run`;
    `apt` is the folder in which downloaded system packages are kept between attempts,
    None where the system keeps its own; `found` is the port that stands for a declared free one.
    """

    supervisor: Supervisor
    execution: Execution
    variables: dict[str, str] | None = None
    image: str | None = None
    again: tuple[str, ...] = ()
    apt: Path | None = None
    found: dict[int, int] = field(default_factory=dict)

    def port(self, declared: int) -> int | None:
        """Where its command listens; None if it has not asked for its free port yet."""
        return self.found.get(declared, None if declared == FREE else declared)

    async def find_port(self) -> int:
        """A port on which nobody listens here, and tunnels to the free port lead to it from now
        on. Raises `TunnelFailed`.

        The kernel chooses, never the command: so a tunnel reaches nothing that was there before.
        """
        with await self._socket() as made:
            # The supervisor has closed its own end of one when it gives another. The port would
            # stay taken for as long as it is late with that.
            (await self._socket()).close()
            made.bind((LOOPBACK, 0))
            self.found[FREE] = int(made.getsockname()[1])
        return self.found[FREE]

    async def _socket(self) -> socket.socket:
        if made := await self.supervisor.new_socket():
            return made
        raise TunnelFailed("no port can be found", why="the task's command has ended")
