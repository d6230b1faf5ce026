"""Which of the agent's own variables set-up and tasks are given: those on a list, no others.

Whoever starts an agent from a shell has keys and passwords in its environment that no task has
any business with. docs/security.md explains the list.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from urllib.parse import unquote

MACHINE = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "LANGUAGE", "LC_*", "TZ"),
    *("TMPDIR", "TEMP", "TMP", "XDG_*_HOME", "XDG_RUNTIME_DIR", "LD_LIBRARY_PATH"),
    *("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"),
    *("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("NODE_EXTRA_CA_CERTS", "AWS_CA_BUNDLE", "GIT_SSL_CAINFO"),
    *("CUDA_*", "NVIDIA_*", "NCCL_*", "CUDNN_*", "ROCM_*", "ROCR_*", "HIP_*", "HSA_*"),
    *("OMP_*", "MKL_*", "KMP_*", "OPENBLAS_*", "NUMEXPR_*", "VECLIB_*", "BLIS_*"),
    *("HF_HOME", "HF_HUB_CACHE", "HF_DATASETS_CACHE", "TRANSFORMERS_CACHE", "TORCH_HOME"),
    *("KERAS_HOME", "NLTK_DATA", "MPLCONFIGDIR", "TRITON_CACHE_DIR", "PYTHONDONTWRITEBYTECODE"),
)
"""What says where things are on this machine, and how it computes."""

PACKAGES = ("PIP_*", "UV_*", "CONDA_*", "MAMBA_*", "POETRY_*")
"""Where packages come from. A task may install some, too, but not with the agent's passwords."""

BUILDING = (
    *("GIT_*", "SSH_AUTH_SOCK", "SSH_AGENT_PID", "NETRC", "PYTHON_KEYRING_BACKEND"),
    *("DBUS_SESSION_BUS_ADDRESS", "CC", "CXX", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS"),
    *("MAKEFLAGS", "MAX_JOBS", "CMAKE_*", "PKG_CONFIG_PATH", "TORCH_CUDA_ARCH_LIST"),
    *("CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"),
)
"""What only set-up is given: the ways to code, and to compilers."""

NEVER = ("EVQ_*", "NATS_*", "NOTIFY_SOCKET")
"""How to reach the server, and as whom: no pattern of the admin's passes these on."""

_LOGIN = re.compile(r"://([^/@\s:]*):?([^/@\s]*)@")
_PASSWORD_NAME = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|HTTP_BASIC")
_TOKEN_LENGTH = 20
"""A user's name of this length is a token."""


def setup_variables(extra: Iterable[str] = ()) -> dict[str, str]:
    """What the commands of set-up see of the agent's environment, and of `extra` patterns."""
    return dict(_setup(tuple(extra)))


def task_variables(extra: Iterable[str] = ()) -> dict[str, str]:
    """What a task sees of the agent's environment: less than its set-up."""
    return dict(_task(tuple(extra)))


# The agent's environment never changes, and reading it costs as much as an event.
@cache
def _setup(extra: tuple[str, ...]) -> dict[str, str]:
    return chosen(os.environ, (*MACHINE, *PACKAGES, *BUILDING, *extra))


@cache
def _task(extra: tuple[str, ...]) -> dict[str, str]:
    packages = chosen(os.environ, PACKAGES)
    harmless = {name: value for name, value in packages.items() if not _is_login(name, value)}
    return {**harmless, **chosen(os.environ, (*MACHINE, *extra))}


def chosen(environ: Mapping[str, str], patterns: Iterable[str]) -> dict[str, str]:
    """The variables whose name one of the `patterns` describes, such as `LC_*`."""
    patterns = tuple(patterns)
    return {
        name: value
        for name, value in environ.items()
        if matches(name, patterns) and not matches(name, NEVER)
    }


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether one of the `patterns` describes `name`."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _is_login(name: str, value: str) -> bool:
    return bool(_PASSWORD_NAME.search(name) or "USERNAME" in name or _LOGIN.search(value))


def passwords(variables: Mapping[str, str]) -> dict[str, str]:
    """The passwords in `variables`, by the names under which their absence is to be shown."""
    found = {name: value for name, value in variables.items() if _PASSWORD_NAME.search(name)}
    for name, value in variables.items():
        for number, (user, password) in enumerate(_LOGIN.findall(value)):
            secret = password or (user if len(user) >= _TOKEN_LENGTH else "")
            found[f"{name}.{number}" if number else name] = unquote(secret)
    return found
