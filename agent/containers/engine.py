"""The container engine, Docker or Podman, by its socket. The only file that knows the docker SDK.

All calls block: they belong in a thread. Whatever the engine refuses is a `ContainerFailed` with
the engine's own reason. What this agent makes carries `AGENT`, so that it can be found again.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from typing import IO, TYPE_CHECKING, Any

import msgspec

from ...core.container import Arguments, Gpus
from ...core.errors import ContainerFailed
from .runtime import Mount

if TYPE_CHECKING:
    from docker import DockerClient

AGENT, TASK, ATTEMPT, INSTANCE = "evq.agent", "evq.task", "evq.attempt", "evq.instance"
"""Labels of a container: the state folder of the agent that made it, for whom, and by which run."""

PREPARED = "evq.prepared"
"""Label of an image that holds what a set-up script and system packages made of another."""

REPOSITORY = "evq-prepared"
ANSWER_SECONDS = 120
"""How long an engine may take for one answer; making a container of a large image can be slow."""

SHM_BYTES = 2**30
"""Shared memory of a container that asks for none: Docker's own 64 MiB end PyTorch's loaders."""

PODMAN_SOCKETS = ("{XDG_RUNTIME_DIR}/podman/podman.sock", "/run/podman/podman.sock")
DOCKER_SOCKET = "/var/run/docker.sock"


class Image(msgspec.Struct, frozen=True):
    """An image that is on this machine. `digest` is what names its content everywhere."""

    name: str
    id: str
    digest: str
    variables: dict[str, str]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A container to be made. `user` is `uid:gid`."""

    image: str
    argv: tuple[str, ...]
    mounts: tuple[Mount, ...]
    user: str
    arguments: Arguments
    labels: dict[str, str]


class PreparedImage(msgspec.Struct, frozen=True):
    """An image of `PREPARED`, and how many bytes it adds to the disk."""

    key: str
    bytes: int


class EngineAway(ContainerFailed):
    """No engine answers, or it went away before it did."""


@contextmanager
def _speaking(what: str) -> Iterator[None]:
    """Turn what the SDK raises into `ContainerFailed`."""
    import requests
    from docker.errors import APIError, DockerException

    try:
        yield
    except (DockerException, requests.RequestException, OSError) as error:
        why = str(getattr(error, "explanation", None) or error)
        kind = ContainerFailed if isinstance(error, APIError) else EngineAway
        raise kind(what, why=why, fix=_fix(why)) from error


def _fix(why: str) -> str:
    """What to do about what the engine said."""
    if "ermission denied" in why:
        return "let the agent's user use the engine: sudo usermod -aG docker $USER, and log in anew"
    if "o such file" in why or "onnection refused" in why or "onnection aborted" in why:
        return "start Docker or Podman on this machine; DOCKER_HOST says where another socket is"
    if "unauthorized" in why or "access denied" in why or "authentication" in why:
        return "on the agent's machine, as its user: docker login"
    if "not found" in why or "manifest unknown" in why or "No such image" in why:
        return "check the image's name and tag: docker manifest inspect IMAGE"
    if "no such host" in why or "i/o timeout" in why or "connection refused" in why:
        return "see whether the agent's machine reaches the registry: docker pull IMAGE"
    return ""


class Engine:
    """One connection to the engine."""

    def __init__(self) -> None:
        """Raises `ContainerFailed` when none answers."""
        with _speaking("no container engine answers on this machine"):
            import docker

            options: dict[str, Any] = {"timeout": ANSWER_SECONDS}
            if (address := _podman()) is not None:
                self._client: DockerClient = docker.DockerClient(base_url=address, **options)
            else:
                self._client = docker.from_env(**options)
            facts = self._client.info()
        if not str(self._client.api.base_url).startswith(("http+docker://", "http+unix://")):
            raise ContainerFailed(
                "the container engine is on another machine",
                why=f"DOCKER_HOST is {os.environ.get('DOCKER_HOST')}; folders cannot be shared",
                fix="run the agent on the engine's machine",
            )
        self.rootless = any("rootless" in option for option in facts.get("SecurityOptions") or ())

    def ping(self) -> None:
        """Raises `EngineAway` if it does not answer now."""
        with _speaking("no container engine answers on this machine"):
            self._client.ping()

    @property
    def user(self) -> str:
        """Who a container's processes must be for its files to belong to the agent's user."""
        return "0:0" if self.rootless else f"{os.getuid()}:{os.getgid()}"

    # --- images -----------------------------------------------------------------------------

    def image(self, name: str) -> Image | None:
        """The image of that name or id, if this machine has it."""
        from docker.errors import ImageNotFound

        with _speaking(f"the image {name} cannot be looked at"):
            try:
                facts = self._client.images.get(name).attrs
            except ImageNotFound:
                return None
        words = (word.partition("=") for word in facts["Config"].get("Env") or ())
        digests = facts.get("RepoDigests") or [facts["Id"]]
        return Image(name, facts["Id"], digests[0], {name: value for name, _, value in words})

    def pull(self, name: str, tell: Callable[[dict[str, Any]], bool]) -> None:
        """Fetch an image. `tell` gets each of the engine's words, and says whether to go on."""
        what = f"the image {name} cannot be had"
        with _speaking(what):
            repository, tag = split_name(name)
            words = self._client.api.pull(repository, tag=tag, stream=True, decode=True)
            for word in words:
                if "error" in word:
                    raise ContainerFailed(what, why=word["error"], fix=_fix(word["error"]))
                if not tell(word):
                    return

    def commit(self, container: str, key: str) -> None:
        """Keep what a container has become as the image of `key`."""
        with _speaking("the prepared image cannot be kept"):
            labels = f"LABEL {PREPARED}={key}"
            self._client.api.commit(container, REPOSITORY, key, changes=[labels])

    def add(self, base: str, archive: IO[bytes], tag: str, changes: list[str]) -> str:
        """Make the image `tag` out of another one and the files of a tar archive; gives its id.

        `changes` are instructions of a Dockerfile, such as `ENV A=1`.
        """
        with _speaking(f"the image {tag} cannot be made"):
            made = self._client.api.create_container(base, command=["true"])
            try:
                self._client.api.put_archive(made["Id"], "/", archive)
                repository, name = split_name(tag)
                done = self._client.api.commit(made["Id"], repository, name, changes=changes)
            finally:
                self.remove(made["Id"])
            return str(done["Id"])

    def prepared(self, key: str) -> Image | None:
        """The image that was kept under `key`."""
        return self.image(f"{REPOSITORY}:{key}")

    def prepared_images(self) -> list[PreparedImage]:
        """All that were kept."""
        with _speaking("the prepared images cannot be listed"):
            found = self._client.images.list(filters={"label": PREPARED})
            return [
                # The latest layer is what it adds to the image that it was made of.
                PreparedImage(image.labels[PREPARED], int(image.history()[0]["Size"]))
                for image in found
            ]

    def remove_prepared(self, key: str) -> bool:
        """Remove the image of `key`, unless a container needs it; whether it is gone."""
        from docker.errors import APIError, ImageNotFound

        with _speaking("a prepared image cannot be removed"):
            try:
                self._client.images.remove(f"{REPOSITORY}:{key}")
            except ImageNotFound:
                return True
            except APIError:
                return False
        return True

    # --- containers -------------------------------------------------------------------------

    def start(self, wanted: Wanted) -> str:
        """Make a container, start it, and give its id. Its end removes it."""
        with _speaking(f"a container of {wanted.image} cannot be started"):
            container = self._client.containers.create(
                wanted.image,
                [],
                entrypoint=list(wanted.argv),
                user=wanted.user,
                working_dir="/",
                labels=wanted.labels,
                auto_remove=True,
                stop_signal="SIGKILL",
                healthcheck={"test": ["NONE"]},
                mounts=list(map(_mount, wanted.mounts)),
                # What the image sets for its own programs must not reach our supervisor.
                environment={"LD_PRELOAD": "", "LD_AUDIT": "", "LD_LIBRARY_PATH": ""},
                **_options(wanted.arguments, wanted.user),
            )
            try:
                container.start()
            except BaseException:
                self.remove(str(container.id))
                raise
            return str(container.id)

    def remove(self, container: str) -> None:
        """Kill and remove a container; one that is gone or going is none."""
        from docker.errors import APIError

        with _speaking("a container cannot be removed"), suppress(APIError):
            self._client.api.remove_container(container, force=True, v=True)

    def sweep(self, labels: Mapping[str, str]) -> int:
        """Remove every container that carries these labels; gives how many there were."""
        words = [f"{name}={value}" for name, value in labels.items()]
        with _speaking("left containers cannot be looked for"):
            found = self._client.api.containers(all=True, filters={"label": words})
        for one in found:
            self.remove(one["Id"])
        return len(found)


@cache
def engine() -> Engine:
    """The engine of this machine, connected to once it is needed."""
    return Engine()


def _podman() -> str | None:
    """Podman's socket, where nobody named one and Docker has none."""
    if os.environ.get("DOCKER_HOST") or os.path.exists(DOCKER_SOCKET):
        return None
    runtime = os.environ.get("XDG_RUNTIME_DIR", "/run")
    places = (place.format(XDG_RUNTIME_DIR=runtime) for place in PODMAN_SOCKETS)
    return next((f"unix://{place}" for place in places if os.path.exists(place)), None)


def split_name(name: str) -> tuple[str, str]:
    """The repository of an image, and its tag or digest."""
    if "@" in name:
        repository, _, digest = name.partition("@")
        return repository, digest
    repository, colon, tag = name.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (name, "latest")


def _mount(mount: Mount) -> Any:
    from docker.types import Mount as Bind

    return Bind(mount.target, mount.source, type="bind", read_only=not mount.writable)


def _device_requests(gpus: Gpus | None) -> list[Any]:
    from docker.types import DeviceRequest

    if gpus is None:
        return []
    which = {"device_ids": list(gpus.ids)} if gpus.ids else {"count": gpus.count}
    return [DeviceRequest(capabilities=[["gpu"]], **which)]


def _options(arguments: Arguments, user: str) -> dict[str, Any]:
    """The SDK's words for what was said of a container."""
    from docker.types import Ulimit

    security = list(arguments.security_opt)
    if not user.startswith("0:"):
        security.append("no-new-privileges")
    options = {
        "shm_size": arguments.shm_size or SHM_BYTES,
        "ulimits": [Ulimit(name=n, soft=soft, hard=hard) for n, soft, hard in arguments.ulimit],
        "ports": {port.inside: (port.address, port.host or None) for port in arguments.publish},
        "nano_cpus": int(arguments.cpus * 1e9) if arguments.cpus else None,
        "mem_limit": arguments.memory,
        # No swap beyond it, or the limit is none.
        "memswap_limit": arguments.memory,
        "pids_limit": arguments.pids_limit,
        "hostname": arguments.hostname or socket.gethostname(),
        "extra_hosts": arguments.add_host,
        "dns": list(arguments.dns),
        "tmpfs": {folder: "" for folder in arguments.tmpfs},
        "read_only": arguments.read_only,
        "network_mode": arguments.network,
        "volumes": list(arguments.volume),
        "devices": list(arguments.device),
        "device_requests": _device_requests(arguments.gpus),
        "cap_add": list(arguments.cap_add),
        "security_opt": security,
        "privileged": arguments.privileged,
        "ipc_mode": arguments.ipc,
    }
    if arguments.network == "host":
        # The machine's own name and ports are the container's, and no other can be given.
        options = {n: v for n, v in options.items() if n not in ("hostname", "ports")}
    return {name: value for name, value in options.items() if value}
