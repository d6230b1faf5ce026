"""The server's process: `python -m evq.agent.trackers.mlflow FD`, its `Office` on stdin.

It ends when its agent does: then stdin has an end.
"""

from __future__ import annotations

import asyncio
import socket
import sys

import msgspec
import uvicorn

from ..office import Office
from .server import application

MOST_AT_ONCE = 512
"""Connections; who calls with more is told to try again."""

KEEP_OPEN = 600
"""Seconds for which a connection may be idle: a client that trains between two words."""


async def serve(listener: socket.socket, office: Office) -> None:
    """Answer on `listener` until stdin ends."""
    server = uvicorn.Server(
        uvicorn.Config(
            application(office),
            lifespan="off",
            # Whatever is wrong with a request is told to who sent it, not to the agent's log.
            log_level="error",
            access_log=False,
            server_header=False,
            limit_concurrency=MOST_AT_ONCE,
            timeout_keep_alive=KEEP_OPEN,
            timeout_graceful_shutdown=1,
        )
    )

    def stop() -> None:
        asyncio.get_running_loop().remove_reader(sys.stdin)
        server.should_exit = server.force_exit = True

    asyncio.get_running_loop().add_reader(sys.stdin, stop)
    await server.serve(sockets=[listener])


def main() -> None:
    """Read what there is to know, and serve."""
    office = msgspec.json.decode(sys.stdin.buffer.readline(), type=Office)
    asyncio.run(serve(socket.socket(fileno=int(sys.argv[1])), office))


if __name__ == "__main__":
    main()
