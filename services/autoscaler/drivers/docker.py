"""Agents in containers of a Docker engine."""

from __future__ import annotations

import asyncio
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from ..definition import Kind
from ..planning import Shown
from . import END_SECONDS, Access, Refusal, agent_words, needed

MARK = "evq.autoscaler"
KIND = "evq.autoscaler.kind"
ALIVE = ("created", "running", "restarting", "paused")
TAKEN = 409


class DockerDriver:
    """Containers; see `Driver`. `place` knows `image`, `evq` (how evq is called in it, as a list of
    words), `volumes` (`HOST:CONTAINER`), `network` and `environment`."""

    def __init__(self, autoscaler: str, access: Access) -> None:
        self._autoscaler = autoscaler
        self._access = access
        self._engine: docker.DockerClient | None = None

    def _client(self) -> docker.DockerClient:
        if self._engine is None:
            self._engine = docker.from_env()
        return self._engine

    async def machines(self) -> dict[str, Shown]:
        return await asyncio.to_thread(self._list)

    def _list(self) -> dict[str, Shown]:
        label = f"{MARK}={self._autoscaler}"
        containers = self._client().containers.list(
            all=True, filters={"label": label}, ignore_removed=True
        )
        return {
            str(one.name): Shown(
                str(one.id), one.labels.get(KIND, ""), "alive" if one.status in ALIVE else "dead"
            )
            for one in containers
        }

    async def launch(self, machine: str, name: str, kind: Kind) -> str:
        return await asyncio.to_thread(self._launch, machine, name, kind)

    def _launch(self, machine: str, name: str, kind: Kind) -> str:
        image = needed(kind, "image", "the image that its agents run in")
        try:
            made = self._client().containers.create(
                image,
                [*kind.place.get("evq", ["evq"]), *agent_words(machine, kind)],
                name=machine,
                labels={MARK: self._autoscaler, KIND: name},
                environment={**self._access.variables, **kind.place.get("environment", {})},
                volumes=[*kind.place.get("volumes", ()), *self._files()],
                network_mode=kind.place.get("network", "host"),
                init=True,
                **_limits(kind),
            )
            made.start()
        except APIError as error:
            if error.status_code == TAKEN:
                return self._known(machine)
            raise Refusal(f"the engine refuses {machine}: {error.explanation}") from error
        except ImageNotFound as error:
            raise Refusal(f"there is no image {image}") from error
        except DockerException as error:
            raise Refusal(f"the engine does not answer: {error}") from error
        return str(made.id)

    def _known(self, machine: str) -> str:
        """The container of this name, which somebody made before. It may not have been started."""
        found = self._client().containers.get(machine)
        if found.labels.get(MARK) != self._autoscaler:
            raise Refusal(f"there is a container {machine} that is not ours")
        if found.status == "created":
            found.start()
        return str(found.id)

    def _files(self) -> list[str]:
        return [f"{path}:{path}:ro" for path in self._access.files]

    async def end(self, machine: str, ref: str) -> None:
        await asyncio.to_thread(self._end, machine)

    def _end(self, machine: str) -> None:
        try:
            found = self._client().containers.get(machine)
            found.stop(timeout=END_SECONDS)
            found.remove(force=True)
        except NotFound:
            return
        except APIError as error:
            if error.status_code != TAKEN:  # its removal is under way
                raise


def _limits(kind: Kind) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    if kind.cpus:
        limits["nano_cpus"] = int(kind.cpus * 1e9)
    if kind.memory:
        limits["mem_limit"] = kind.memory
    if kind.gpus:
        request = docker.types.DeviceRequest(count=kind.gpus, capabilities=[["gpu"]])
        limits["device_requests"] = [request]
    return limits
