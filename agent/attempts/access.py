"""A task's own way to the server: who may have it, and the variables that it is.

The login is a secret. Like the others it is given to the command alone, and to no file or event.
"""

from __future__ import annotations

import msgspec

from ...core.errors import SecretFailed
from ...core.settings import PATHS, variable
from ...core.spec import Spec
from ..containers.lodging import asked
from ..means import Means


def client_variables(means: Means, spec: Spec) -> dict[str, str]:
    """What `evq.connect()` and the `evq` command read in a task.

    Raises `SecretFailed` where it may not, or cannot, be had.
    """
    config = means.config
    if not config.allow_client:
        raise SecretFailed(
            f"agent {config.name} gives tasks no login to the server",
            why="whoever has it may do whatever the agent may do there, and its administrator "
            "has not allowed that",
            fix="run the task in the queue of an agent for services, or the agent with "
            "--allow-client",
        )
    given = {name: value for name, value in msgspec.structs.asdict(means.client).items() if value}
    if asked(spec, config) and (files := sorted(PATHS & given.keys())):
        raise SecretFailed(
            "a task in a container cannot be given a login to the server",
            why=f"{', '.join(files)} of the login are files of the agent's machine",
            fix="run the task without a container, or give the agent a client_token",
        )
    return {variable(name): value for name, value in given.items()}
