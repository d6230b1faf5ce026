"""The variables of what runs in a container: the image's own, and what the agent adds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..attempts.variables import matches
from ..config import Config
from ..environments.variables import IMAGE
from ..trust import trust_variables
from .engine import Image
from .runtime import AUTHORITIES

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

CARRIED = (
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT"),
    *("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_INSECURE_HOST"),
    *("UV_INDEX_STRATEGY", "UV_HTTP_TIMEOUT", "UV_OFFLINE", "UV_PYTHON_DOWNLOADS"),
)
"""Variables of the agent that mean the same in a container: how to reach indexes of packages."""


def carried(machine: Mapping[str, str], wanted: Iterable[str]) -> dict[str, str]:
    """Those of the machine's variables that go into a container, and the `wanted` patterns."""
    return {n: value for n, value in machine.items() if n in CARRIED or matches(n, wanted)}


def image_variables(
    image: Image, said: Mapping[str, str], config: Config, work: Path, key: str, tools: str
) -> dict[str, str]:
    """`said` are variables out of the container's arguments, `key` names the image as prepared,
    and the folder `tools` has the interpreter for images without one."""
    own = image.variables
    return {
        "LANG": "C.UTF-8",
        **own,
        "PATH": f"{own.get('PATH') or DEFAULT_PATH}:{tools}",
        "HOME": own.get("HOME", "/root") if os.getuid() == 0 else str(work / "home"),
        "UV_PYTHON_INSTALL_DIR": str(config.cache / "python"),
        "UV_CACHE_DIR": str(config.cache / "uv"),
        **trust_variables(AUTHORITIES if config.trusted else None),
        IMAGE: f"{image.digest}+{key}",
        **said,
    }
