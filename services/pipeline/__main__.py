"""The controller of a run, as a task: `python -m evq.services.pipeline RUN`."""

import sys

from ...core.sdk.client import Client
from ..controller import main
from .controller import Controller
from .journals import open_run


async def _serve(client: Client, holder: str) -> None:
    (name,) = sys.argv[1:]
    ended = await Controller(client, await open_run(client, name)).run(holder)
    print(f"the run has {ended.outcome}" + (f": {ended.evidence}" if ended.evidence else ""))


if __name__ == "__main__":
    sys.exit(main(_serve))
