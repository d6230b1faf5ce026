"""What a task is given that nobody may read: its secrets, and its own way to the server.

The login is a secret like the others: it is a variable of the command, and in no file or event.
"""

from __future__ import annotations

import secrets

import msgspec

from ...core.errors import SecretFailed
from ...core.settings import PATHS, variable
from ...core.spec import Spec
from ..containers.lodging import asked
from ..means import Means
from ..secret_sources import Secrets
from .variables import passwords

PORT_TOKEN = "EVQ_PORT_TOKEN"
"""The variable with what a program at a declared port may ask its visitors for: made for each
attempt, and told through tunnels alone."""


async def secrets_of(means: Means, spec: Spec) -> Secrets:
    """The secrets that `spec` names, the login if it asks for one, the token of its ports if it
    has some. Raises `SecretFailed`."""
    found = await means.secrets.resolve(spec)
    if spec.ports:
        token = {PORT_TOKEN: secrets.token_urlsafe(24)}
        places = {**found.places, PORT_TOKEN: "made for this attempt"}
        found = Secrets({**found.variables, **token}, {**found.values, **token}, places)
    if not spec.client:
        return found
    login = _login(means, spec)
    return Secrets(
        variables={**found.variables, **login},
        values={**found.values, **passwords(login)},
        places={**found.places, "login": f"agent {means.config.name}"},
    )


def _login(means: Means, spec: Spec) -> dict[str, str]:
    """What `evq.connect()` and the `evq` command read in a task."""
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
