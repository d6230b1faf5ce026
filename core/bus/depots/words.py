"""What every depot says when it cannot do what is asked."""

from __future__ import annotations

from ...errors import ArtifactFailed, NotFound


def no_such_content(digest: str, depot: str) -> NotFound:
    """The content is not there, though the log names it."""
    return NotFound(
        f"the content {digest[:12]} is not in {depot}",
        why="it was removed, or the place is not the one it was saved to",
        fix="run the task again",
    )


def no_room(depot: str, why: str) -> ArtifactFailed:
    """The place is full."""
    return ArtifactFailed(
        f"there is no room for the artifact in {depot}",
        why=why,
        fix="free some there, or keep artifacts elsewhere: the setting artifacts",
    )


def out_of_reach(depot: str, why: str) -> ArtifactFailed:
    """The place does not do what it should."""
    return ArtifactFailed(
        f"the place for artifacts, {depot}, cannot be used",
        why=why,
        fix="check the setting artifacts, and this machine's access to it",
    )
