"""The toolbox of the machine that the agent itself runs on."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import sysconfig

import uv

from ...core.errors import EnvironmentFailed
from .base import Toolbox


@functools.cache
def this_machine() -> Toolbox:
    """What environments of this machine are made with: the uv that came with evq."""
    try:
        path = os.fspath(uv.find_uv_bin())
    except FileNotFoundError as error:
        raise EnvironmentFailed(
            "uv is not installed", why=str(error), fix="pip install uv"
        ) from error
    return Toolbox(uv=path, uv_version=uv_version(), platform=sysconfig.get_platform())


def uv_version() -> str:
    """The part of uv's version that decides what it makes."""
    return ".".join(importlib.metadata.version("uv").split(".")[:2])
