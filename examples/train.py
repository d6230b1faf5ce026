# /// script
# requires-python = ">=3.10"
# dependencies = ["numpy>=1.26,<3"]
# ///
"""Trains a small neural network to tell two spirals apart; nothing but numpy.

evq run examples/train.py -- --lr 0.3 --width 32
"""

import argparse
from itertools import pairwise

import numpy as np

import evq


def spirals(points: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two noisy spirals around each other, and which of them each point is on."""
    turn = np.sqrt(rng.uniform(0.02, 1, points)) * 3 * np.pi
    side = rng.integers(0, 2, points)
    angle = turn + side * np.pi
    place = np.stack([np.cos(angle), np.sin(angle)], axis=1) * turn[:, None] / (3 * np.pi)
    return place + rng.normal(0, 0.015, place.shape), side.astype(float)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.3)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    rng = np.random.default_rng(options.seed)
    x, y = spirals(500, rng)
    sizes = [2, options.width, options.width, 1]
    weights = [rng.normal(0, np.sqrt(2 / a), (a, b)) for a, b in pairwise(sizes)]
    biases = [np.zeros(b) for b in sizes[1:]]
    speed = [np.zeros_like(part) for part in (*weights, *biases)]

    for step in range(options.steps):
        layers = [x]
        for w, b in zip(weights, biases, strict=True):
            z = layers[-1] @ w + b
            layers.append(np.tanh(z) if w is not weights[-1] else 1 / (1 + np.exp(-z)))
        guess = layers[-1][:, 0].clip(1e-7, 1 - 1e-7)
        loss = -np.mean(y * np.log(guess) + (1 - y) * np.log(1 - guess))

        error = (guess - y)[:, None] / len(y)
        slopes_w: list[np.ndarray] = []
        slopes_b: list[np.ndarray] = []
        for number in reversed(range(len(weights))):
            slopes_w.insert(0, layers[number].T @ error)
            slopes_b.insert(0, error.sum(axis=0))
            error = (error @ weights[number].T) * (1 - layers[number] ** 2)
        for part, slope, v in zip((*weights, *biases), (*slopes_w, *slopes_b), speed, strict=True):
            v *= 0.9
            v -= options.lr * slope
            part += v

        if step % 20 == 0 or step == options.steps - 1:
            accuracy = np.mean((guess > 0.5) == (y > 0.5))
            evq.log({"loss": loss, "accuracy": accuracy}, step=step)
            evq.progress(step + 1, options.steps)
        if step % 100 == 0:
            print(f"step {step:4d}  loss {loss:.4f}  accuracy {accuracy:.3f}")

    print(f"done       loss {loss:.4f}  accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
