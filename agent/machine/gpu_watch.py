"""Looks at the GPUs in a thread of its own: a driver that hangs must hold up nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection

from ..gpus.port import Gpu, Gpus, Reading

STALE_SECONDS = 10.0
"""After so long without an answer the driver counts as one that hangs."""


class GpuWatch:
    """The newest readings of GPUs."""

    def __init__(self, gpus: Gpus, every: float, chosen: Collection[Gpu] | None = None) -> None:
        """Look every so many seconds, from `start` on, at all GPUs or at those `chosen` and those
        that they are parts of: another agent on this machine tells of its own."""
        self._gpus = gpus
        self._every = every
        self._stop = threading.Event()
        self._newest: tuple[float, tuple[Reading, ...]] | None = None
        self._began = time.monotonic()
        devices = gpus.devices()
        ours = {
            id for gpu in (devices if chosen is None else chosen) for id in (gpu.id, gpu.parent)
        }
        self.devices = tuple(gpu for gpu in devices if gpu.id in ours)

    def start(self) -> None:
        """Begin to look, unless there is nothing to look at."""
        if self.devices:
            threading.Thread(target=self._run, name="gpus", daemon=True).start()

    def stop(self) -> None:
        """Look no more. A driver that hangs is not waited for."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            began = time.monotonic()
            ours = {gpu.id for gpu in self.devices}
            readings = tuple(one for one in self._gpus.read() if one.id in ours)
            self._newest = (began, readings)

    def newest(self) -> tuple[Reading, ...]:
        """The last readings; none if there are none yet, or they are too old to be true."""
        newest = self._newest
        if newest is None or time.monotonic() - newest[0] > STALE_SECONDS:
            return ()
        return newest[1]

    @property
    def trouble(self) -> str:
        """Why GPUs cannot be seen that may be there, in words; empty if nothing is wrong."""
        asked = self._newest[0] if self._newest else self._began
        silent = time.monotonic() - asked
        if self.devices and silent > STALE_SECONDS:
            return f"the GPUs' driver has not answered for {silent:.0f} s"
        return self._gpus.trouble
