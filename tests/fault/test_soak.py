"""The soak, in its short form; `benchmarks/soak.py` tells what it does and what must hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"


@pytest.mark.timeout(200)
def test_every_task_is_finished_exactly_once() -> None:
    argv = [sys.executable, str(SOAK), "--tasks", "300", "--agents", "3", "--seconds", "14"]
    done = subprocess.run([*argv, "--seed", "7"], capture_output=True, text=True, timeout=180)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
