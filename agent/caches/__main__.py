"""`python -m evq.agent.caches`."""

from __future__ import annotations

from .report import main

main()
