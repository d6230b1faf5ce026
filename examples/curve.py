# /// script
# requires-python = ">=3.10"
# dependencies = []
# ///
"""A task for sweeps: a loss that falls to a level which its parameters decide. No packages needed.

evq sweep run examples/sweep.toml
"""

import argparse
import math
import time

import evq


def level(lr: float, width: int, optimizer: str, momentum: float) -> float:
    """Where the loss comes to rest: lowest near lr 0.01, width 64, with momentum 0.9."""
    away = (math.log10(lr) + 2) ** 2 + ((width - 64) / 64) ** 2
    return 0.1 + 0.2 * away + (0.1 if optimizer == "adam" else abs(momentum - 0.9) / 4)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--steps", type=int, default=20)
    options.add_argument("--seconds", type=float, default=0.1, help="a step's")
    steps, seconds = vars(options.parse_args()).values()
    params = evq.params
    rest = level(
        params.number("lr", 0.01),
        params.number("width", 64),
        params.get("optimizer", "adam"),
        params.number("momentum", 0.0),
    )
    for step in range(steps):
        time.sleep(seconds)
        evq.log({"loss": rest + 2.0 * math.exp(-step / 4)}, step=step)
        evq.progress(step + 1, steps)


if __name__ == "__main__":
    main()
