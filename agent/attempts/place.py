"""Where the commands of an attempt run: on the machine itself, or in a container."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..supervision.forkserver import Supervisor
from .execution import Execution


@dataclass(frozen=True)
class Place:
    """A supervisor, the commands that run under it, and what they find there.

    `variables` are those of the container, None for the machine's own; `image` is the digest of
    the image, and `again` how another container like this one is made, as words of `docker run`;
    `apt` is the folder in which downloaded system packages are kept between attempts,
    None where the system keeps its own.
    """

    supervisor: Supervisor
    execution: Execution
    variables: dict[str, str] | None = None
    image: str | None = None
    again: tuple[str, ...] = ()
    apt: Path | None = None
