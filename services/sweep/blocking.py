"""A sweep for programs that do not await: the same methods."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...core.journal import Noted
from ...core.sdk.blocking import BlockingClient
from ...core.sdk.request import Options, Runnable
from .facts import Fact
from .state import SweepState, Trial
from .sweep import Sweep, sweep


class BlockingSweep:
    """`Sweep` for programs that do not await; `sweep_blocking` begins one.

    sweep = evq.BlockingSweep.open(client, "lr-search")
    sweep.extend(trials=20)
    """

    def __init__(self, client: BlockingClient, inner: Sweep) -> None:
        self._client = client
        self._sweep = inner

    @classmethod
    def open(cls, client: BlockingClient, name: str) -> BlockingSweep:
        """A sweep that exists. Raises `NotFound`."""
        return cls(client, client.run(lambda inner: Sweep.open(inner, name)))

    @property
    def state(self) -> SweepState:
        """What is known of it, as of when it was last read."""
        return self._sweep.state

    @property
    def best(self) -> Sequence[Trial]:
        """The complete trials, the best first; with several objectives, those that none beats."""
        return self._sweep.best

    def follow(self) -> Iterator[Noted[Fact]]:
        """What is decided from where it was last read to, until it has finished."""
        return self._client.iterate(self._sweep.follow())

    def refresh(self) -> SweepState:
        """What is known of it now."""
        return self._client.run(lambda _: self._sweep.refresh())

    def extend(self, trials: int = 0, seconds: float = 0.0) -> None:
        """Let it try so many more trials, or propose for so many more seconds. One that was stopped
        goes on. Raises `UsageError`."""
        self._client.run(lambda _: self._sweep.extend(trials, seconds))

    def resume(self, reason: str = "") -> None:
        """Let a stopped sweep go on. Raises `Conflict` if it was not stopped."""
        self._client.run(lambda _: self._sweep.resume(reason))

    def stop(self, reason: str, *, finish: bool = False) -> None:
        """Propose nothing more, and abort the trials that run unless they may `finish`."""
        self._client.run(lambda _: self._sweep.stop(reason, finish=finish))


def sweep_blocking(
    client: BlockingClient,
    name: str,
    what: Runnable,
    args: Sequence[object] = (),
    *,
    folder: str | os.PathLike[str] = ".",
    params: Mapping[str, object] | None = None,
    options: Options | None = None,
    **fields: Any,
) -> BlockingSweep:
    """`sweep` for programs that do not await. Raises `UsageError` or `Conflict`."""
    begun = client.run(
        lambda inner: sweep(
            inner, name, what, args, folder=folder, params=params, options=options, **fields
        )
    )
    return BlockingSweep(client, begun)
