"""`python -m evq.services.pipeline RUN`: the controller of a run."""

import sys

from ...core.sdk.client import Client
from ..controller import main
from .controller import Controller
from .journals import open_run


async def control(client: Client, name: str, holder: str) -> None:
    """Carry a run through to its end. One that fails is no failure of its controller: nobody is to
    start that again."""
    ended = await Controller(client, await open_run(client, name)).run(holder)
    print(f"the run has {ended.outcome}" + (f": {ended.evidence}" if ended.evidence else ""))


if __name__ == "__main__":
    (run,) = sys.argv[1:]
    sys.exit(main(lambda client, holder: control(client, run, holder)))
