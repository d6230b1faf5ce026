"""Times, spans and states in words, and how they are coloured."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import click

from ...core.spec import Code, Repo
from ...core.units import size_text
from ...core.words.phrases import ago
from ...core.words.phrases import end_text as end_text
from ...core.words.phrases import span as span
from ..options import THIS_RUN
from ..output import can_print, on_terminal

COLORS = {
    "held": "magenta",
    "queued": "cyan",
    "claimed": "blue",
    "running": "blue",
    "completed": "green",
    "failed": "red",
    "timed_out": "red",
    "aborted": "yellow",
    "lost": "yellow",
    "busy": "blue",
    "shared": "blue",
    "idle": "green",
    "free": "green",
    "paused": "yellow",
    "draining": "yellow",
    "drained": "yellow",
    "stopping": "yellow",
    "foreign": "magenta",
    "broken": "red",
}
_MARKS = {
    "held": "◌",
    "queued": "◷",
    "claimed": "▸",
    "running": "▶",
    "completed": "✔",
    "failed": "✘",
    "timed_out": "✘",
    "aborted": "■",
    "lost": "?",
}


def now() -> int:
    """Microseconds since 1970: now, or at the moment that is looked back at."""
    return THIS_RUN.moment.at if THIS_RUN.moment else time.time_ns() // 1000


def iso(at: int | None) -> str | None:
    """A time as RFC 3339 in UTC, for JSON."""
    if at is None:
        return None
    moment = datetime.fromtimestamp(at / 1e6, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def timestamp(written: str | int | None) -> int | None:
    """Microseconds since 1970 of a time in a projector's answer, which is in UTC."""
    if not isinstance(written, str):
        return written
    moment = datetime.fromisoformat(written)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e6)


def clock(at: int) -> str:
    """A time of this day, or a date and time, by the reader's clock."""
    moment = datetime.fromtimestamp(at / 1e6)
    today = datetime.now().date()
    form = "%H:%M:%S" if moment.date() == today else "%Y-%m-%d %H:%M:%S"
    return moment.strftime(form)


def age(at: int | None) -> str:
    """How long ago, in one unit: `3s`, `5m`, `2h`, `4d`."""
    return ago(at, now())


def marked(state: str) -> str:
    """A state with its mark on a terminal, the bare word elsewhere."""
    mark = _MARKS.get(state, "")
    if mark and on_terminal() and can_print(mark):
        return f"{mark} {state}"
    return state


def colored(text: str) -> str:
    """A state, marked or not, in its colour."""
    return click.style(text, fg=COLORS.get(text.split(" ")[-1].rstrip("…")))


def code_text(code: Code, sent: int | None = None) -> str:
    """The code of a task: `a1b2c3d main + 2 modified, 1 untracked`, and what was sent."""
    where = " ".join(filter(None, ((code.commit or "")[:7], code.branch)))
    changes = ", ".join(f"{count} {kind}" for kind, count in code.changes.items())
    unpushed = f"{code.unpushed} unpushed" if code.unpushed else ""
    extra = ", ".join(filter(None, (changes, unpushed)))
    text = " + ".join(filter(None, (where or "no commit", extra)))
    if sent is None:
        return text
    return f"{text} → {size_text(sent)} sent" if sent else f"{text} (on the server already)"


def repo_text(repo: Repo) -> str:
    """The remote whose code a task runs: `https://host/path, branch main`."""
    which = repo.commit or (f"branch {repo.branch}" if repo.branch else "its default branch")
    return f"{repo.url}, {which}" + ("" if repo.lfs else ", without LFS")
