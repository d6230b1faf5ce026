"""Programs that managers need and evq does not bring."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .base import Site


async def find_program(names: Sequence[str], site: Site, folder: Path) -> str | None:
    """The path of the first of `names` that is on the PATH where commands run."""
    # Asked of a shell there: in a container the agent cannot look.
    ask = "; ".join(f"command -v {name} && exit" for name in names)
    asked = await site.run(("sh", "-c", f"{ask}; true"), cwd=folder, env=site.base_env)
    return asked.output.strip() or None
