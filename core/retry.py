"""When a task that failed may run again."""

from __future__ import annotations

FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0


def delay_after(failures: int) -> float:
    """Seconds to wait after the `failures`-th failure: 1, 2, 4 … up to a minute."""
    return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(failures - 1, 16))
