"""What a manager sees of the machine's variables, and which of them change what it makes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from ...core.addresses import filled, without_login
from ...core.errors import EnvironmentFailed
from .base import Recipe, Site

IMAGE = "EVQ_IMAGE"
"""Names the image in a container: what is made in one image serves there alone."""

_FROM_PIP = {
    "PIP_INDEX_URL": ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
    "PIP_EXTRA_INDEX_URL": ("UV_INDEX", "UV_EXTRA_INDEX_URL"),
    "PIP_FIND_LINKS": ("UV_FIND_LINKS",),
    "PIP_CERT": ("SSL_CERT_FILE",),
}
"""What pip is told, and how uv is told the same: the first name, unless any is set."""

_UV_DECIDING = (
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
_PYTHON_DECIDING = ("UV_MANAGED_PYTHON", "UV_NO_MANAGED_PYTHON", "UV_PYTHON_PREFERENCE")

DECIDING = {
    "uv": _UV_DECIDING,
    "pip": (
        *_PYTHON_DECIDING,
        "PIP_INDEX_URL",
        "PIP_EXTRA_INDEX_URL",
        "PIP_NO_INDEX",
        "PIP_FIND_LINKS",
        "PIP_CONSTRAINT",
        "PIP_PRE",
        "PIP_NO_BINARY",
        "PIP_ONLY_BINARY",
        "PIP_NO_DEPS",
        "PIP_CONFIG_FILE",
    ),
    "poetry": (
        *_PYTHON_DECIDING,
        "POETRY_INSTALLER_NO_BINARY",
        "POETRY_INSTALLER_ONLY_BINARY",
    ),
    "conda": ("CONDA_CHANNELS", "CONDA_SUBDIR", "CONDA_CHANNEL_PRIORITY", "CONDARC"),
}
"""The variables that change what each manager installs."""

_OUR_OWN = (
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "CONDA_DEFAULT_ENV",
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
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_USER",
    "PIP_PYTHON",
    "PIP_DRY_RUN",
    "POETRY_VIRTUALENVS_CREATE",
    "POETRY_VIRTUALENVS_IN_PROJECT",
    "POETRY_VIRTUALENVS_PATH",
)
"""Variables that would turn a manager away from the environment it is to make."""


def uv_variables(site: Site) -> dict[str, str]:
    """What uv sees: the machine's, pip's settings where uv has none of its own, our cache."""
    base_env = site.base_env
    variables = _common(site)
    for theirs, ours in _FROM_PIP.items():
        if base_env.get(theirs) and not any(name in base_env for name in ours):
            separator = "," if ours[0] == "UV_FIND_LINKS" else " "
            variables[ours[0]] = separator.join(base_env[theirs].split())
    # Beside the environments, so that uv links files into them instead of copying.
    variables.setdefault("UV_CACHE_DIR", str(_folder(site, "uv")))
    return {**variables, "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}


def pip_variables(site: Site) -> dict[str, str]:
    """What pip sees: the machine's, our cache, nothing that asks or colours."""
    variables = _common(site)
    variables.setdefault("PIP_CACHE_DIR", str(_folder(site, "pip")))
    quiet = {"PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_PROGRESS_BAR": "off"}
    return {**variables, **quiet, "NO_COLOR": "1"}


def poetry_variables(site: Site) -> dict[str, str]:
    """What poetry sees: the machine's, our cache."""
    variables = _common(site)
    variables.setdefault("POETRY_CACHE_DIR", str(_folder(site, "poetry")))
    return {**variables, "POETRY_NO_INTERACTION": "1", "NO_COLOR": "1"}


def conda_variables(site: Site) -> dict[str, str]:
    """What conda, mamba or micromamba sees: the machine's, our cache of packages."""
    variables = _common(site)
    # Beside the environments, so that packages are linked into them instead of copied.
    variables.setdefault("CONDA_PKGS_DIRS", str(_folder(site, "conda")))
    variables.setdefault("PIP_CACHE_DIR", str(_folder(site, "pip")))
    return {**variables, "CONDA_ALWAYS_YES": "true", "CI": "1", "NO_COLOR": "1"}


def deciding(manager: str, variables: Mapping[str, str]) -> list[str]:
    """The values that are part of an environment's key, without logins in addresses."""
    return [without_login(variables.get(name, "")) for name in DECIDING[manager]]


def with_secrets(variables: Mapping[str, str], recipe: Recipe, site: Site) -> dict[str, str]:
    """`variables` with the secrets that addresses in the recipe's files refer to: managers put
    them in by themselves."""
    return {**variables, **_known(recipe, site)}


def with_indexes(
    variables: Mapping[str, str], recipe: Recipe, site: Site, name: str
) -> dict[str, str]:
    """`with_secrets`, and the task's indexes in the variable `name`, before those that are there.

    As a variable, because the arguments of a process are for everybody to see. Raises
    `EnvironmentFailed` if an index needs a secret that is not there.
    """
    # A password may hold an @ or a /; who has quoted it already is left alone.
    quoted = {secret: quote(value, safe="%~") for secret, value in _known(recipe, site).items()}
    addresses = [_filled(address, quoted) for address in recipe.indexes]
    together = " ".join([*addresses, *filter(None, [variables.get(name)])])
    return with_secrets(variables, recipe, site) | ({name: together} if together else {})


def _known(recipe: Recipe, site: Site) -> dict[str, str]:
    return {name: site.secrets[name] for name in recipe.secrets if name in site.secrets}


def _filled(address: str, known: Mapping[str, str]) -> str:
    try:
        return filled(address, known)
    except KeyError as error:
        [name] = error.args
        raise EnvironmentFailed(
            f"there is no secret {name} for the index {address}",
            why="only secrets that the task names are put into addresses",
            fix=f"--secret {name}",
        ) from error


def _common(site: Site) -> dict[str, str]:
    return {name: value for name, value in site.base_env.items() if name not in _OUR_OWN}


def _folder(site: Site, name: str) -> Path:
    folder = site.cache.absolute() / name
    # A container whose C library is another has a cache of uv's own: what pip and poetry build
    # must not be mixed with what runs elsewhere, either.
    uv = Path(site.base_env.get("UV_CACHE_DIR", "")).name
    return folder / uv if site.toolbox.image and uv.startswith("uv-") else folder
