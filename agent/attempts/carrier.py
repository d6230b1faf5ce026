"""What a running task asks for: files to be kept or given (`evq.save`, `evq.load`), a free port."""

from __future__ import annotations

import logging
from typing import Any, BinaryIO

from ...core.artifacts import Artifact, check_artifact_name, find_artifact
from ...core.decide import SaveArtifact
from ...core.errors import ArtifactFailed, EvqError, TunnelFailed, UsageError, report
from ...core.handle import find
from ...core.ids import is_task_id
from ...core.ports import BusAway
from ...core.sdk import artifacts
from ...core.sdk.client import Client
from ...core.tunnels.hello import FREE
from ..caches.artifacts import nearest
from ..means import Means
from ..reporting.channel import LoadWords, SaveWords, Words
from ..reporting.telemetry import Recorder
from .preparation import Steps

log = logging.getLogger(__name__)

ITSELF = "@"


class Carrier:
    """Answers what the processes of one attempt ask.

    The task waits for its answer; so a server that is away only makes it wait longer.
    """

    def __init__(self, steps: Steps, means: Means, recorder: Recorder) -> None:
        self._steps = steps
        self._means = means
        self._recorder = recorder

    async def asked(self, words: Words, file: BinaryIO | None) -> dict[str, Any]:
        """The answer; what goes wrong is told as an error. See `channel.Asked`."""
        try:
            return await self._carry(words, file)
        except EvqError as error:
            said = self._recorder.redactor.error(error)
            return {"error": {"code": said.code, "text": report(said)}}
        except OSError as error:
            return {"error": {"code": EvqError.code, "text": str(error)}}
        except Exception:
            log.exception("task %s: an ask cannot be answered", self._steps.task.id)
            return {"error": {"code": EvqError.code, "text": "the agent failed; its log says how"}}

    async def _carry(self, words: Words, file: BinaryIO | None) -> dict[str, Any]:
        if words.port:
            return {"port": await self._find_port()}
        if file is None:
            raise UsageError(
                "the ask came without a file",
                why="a regular file's descriptor is sent together with its line",
            )
        if words.save:
            return {"saved": await self._save(words.save, file)}
        if words.load:
            return {"loaded": await self._load(words.load, file)}
        raise UsageError("the ask asks for nothing", fix="upgrade evq on the agent's machine")

    async def _find_port(self) -> int:
        task, place = self._steps.task, self._steps.place
        if FREE not in task.spec.ports or place is None:
            raise TunnelFailed(
                f"task {task.id} has no free port",
                why="its command does not run" if place is None else "it has not declared one",
                fix=f"evq clone {task.id} --port {FREE}",
            )
        return await place.find_port()

    async def _save(self, wanted: SaveWords, file: BinaryIO) -> dict[str, Any]:
        name, config = check_artifact_name(wanted.name), self._means.config
        if self._recorder.redactor.text(name) != name:
            raise ArtifactFailed("the artifact's name holds a secret", fix="name it otherwise")
        depot = artifacts.open_depot(self._means.bus, config.artifacts)
        digest, size = await artifacts.store(
            depot, file, config.artifact_bytes, self._means.bus.wait
        )
        saved = SaveArtifact(self._steps.holder, name, digest, size, wanted.folder, depot.name)
        await self._steps.write(saved)
        return {"name": name, "digest": digest, "size": size}

    async def _load(self, wanted: LoadWords, file: BinaryIO) -> dict[str, Any]:
        one = await self._find(wanted)
        config, bus = self._means.config, self._means.bus
        near, _ = await nearest(bus, one, config.cache, config.cache_bytes, bus.wait)
        await artifacts.fetch(artifacts.open_depot(bus, near.depot), near, file, bus.wait)
        return {"name": one.name, "digest": one.digest, "size": one.size, "folder": one.folder}

    async def _find(self, wanted: LoadWords) -> Artifact:
        while True:
            try:
                task = await find(self._means.bus.log, await self._resolve(wanted.task))
                return find_artifact(task, wanted.name, wanted.attempt)
            except BusAway as away:
                await self._means.bus.wait(away)

    async def _resolve(self, selector: str) -> str:
        if selector == ITSELF:
            return self._steps.task.id
        if is_task_id(selector):
            return selector
        return await Client(self._means.bus).resolve(selector)
