"""The folder from which tasks import evq's words, whatever is in their environment."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from . import carrying, notebook, steps, task
from .sessions import serving, terminal

BROUGHT = (
    (task, "evq"),
    (carrying, "evq_carrying"),
    (notebook, "evq_notebook"),
    (steps, "evq_steps"),
    (serving, "evq_session"),
    (terminal, "evq_terminal"),
)


def install_sdk(folder: Path) -> Path:
    """Make the folder, to stand first on a task's path; see `core.sdk.task`."""
    folder.mkdir(parents=True, exist_ok=True)
    for module, name in BROUGHT:
        partial = folder / f".{name}.{os.getpid()}"
        shutil.copyfile(str(module.__file__), partial)
        os.replace(partial, folder / f"{name}.py")
    return folder
