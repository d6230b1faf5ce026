"""What an agent must not leave behind, wherever it was killed."""

from __future__ import annotations

from pathlib import Path

import msgspec

from evq.agent.environments.cache import Made


def mounts(folder: Path) -> list[str]:
    """What is mounted below a folder."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if f" {folder}/" in line]


def half_made(cache: Path) -> list[str]:
    """The folders of environments that no marker speaks for."""
    environments = cache / "environments"
    made = {
        msgspec.json.decode(marker.read_bytes(), type=Made).folder
        for marker in environments.glob("*.json")
    }
    return [path.name for path in environments.iterdir() if path.is_dir() and path.name not in made]
