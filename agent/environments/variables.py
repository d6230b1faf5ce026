"""What uv sees of the machine's variables, and which of them change what it makes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_FROM_PIP = {
    "PIP_INDEX_URL": ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
    "PIP_EXTRA_INDEX_URL": ("UV_INDEX", "UV_EXTRA_INDEX_URL"),
    "PIP_FIND_LINKS": ("UV_FIND_LINKS",),
    "PIP_CERT": ("SSL_CERT_FILE",),
}
"""What pip is told, and how uv is told the same: the first name, unless any is set."""

IMAGE = "EVQ_IMAGE"
"""Names the image in a container: what is made in one image serves there alone."""

_DECIDING = (
    IMAGE,
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL",
    "UV_INDEX_STRATEGY",
    "UV_FIND_LINKS",
    "UV_TORCH_BACKEND",
    "UV_EXCLUDE_NEWER",
    "UV_PRERELEASE",
    "UV_RESOLUTION",
    "UV_CONSTRAINT",
    "UV_OVERRIDE",
    "UV_EXCLUDE",
    "UV_NO_SOURCES",
    "UV_NO_DEV",
    "UV_NO_BINARY",
    "UV_NO_BINARY_PACKAGE",
    "UV_NO_BUILD",
    "UV_NO_BUILD_PACKAGE",
    "UV_MANAGED_PYTHON",
    "UV_NO_MANAGED_PYTHON",
    "UV_PYTHON_PREFERENCE",
    "UV_CONFIG_FILE",
    "UV_NO_CONFIG",
    "UV_VENV_SEED",
)
"""The variables that change what is installed."""

_OUR_OWN = (
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "PYTHONHOME",
    "PYTHONPATH",
    "UV_PYTHON",
    "UV_PROJECT",
    "UV_PROJECT_ENVIRONMENT",
    "UV_WORKING_DIR",
    "UV_FROZEN",
    "UV_LOCKED",
    "UV_NO_SYNC",
    "UV_SYSTEM_PYTHON",
    "UV_ISOLATED",
    "UV_VENV_CLEAR",
    "UV_EDITABLE",
    "UV_NO_EDITABLE",
    "UV_VENV_RELOCATABLE",
    "UV_NO_PROJECT",
)
"""Variables that would turn uv away from the environment it is to make."""

_CREDENTIALS = re.compile(r"://[^/@\s]*@")


def uv_variables(base_env: Mapping[str, str], cache: Path) -> dict[str, str]:
    """What uv sees: `base_env`, pip's settings where uv has none of its own, our cache."""
    variables = {name: value for name, value in base_env.items() if name not in _OUR_OWN}
    for theirs, ours in _FROM_PIP.items():
        if base_env.get(theirs) and not any(name in base_env for name in ours):
            separator = "," if ours[0] == "UV_FIND_LINKS" else " "
            variables[ours[0]] = separator.join(base_env[theirs].split())
    # Beside the environments, so that uv links files into them instead of copying.
    variables.setdefault("UV_CACHE_DIR", str(cache.absolute() / "uv"))
    return {**variables, "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}


def deciding(variables: Mapping[str, str]) -> list[str]:
    """The values that are part of an environment's key, without the passwords in addresses."""
    return [_CREDENTIALS.sub("://", variables.get(name, "")) for name in _DECIDING]
