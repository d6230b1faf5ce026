"""The same as pipeline.toml, as Python functions.

cd examples/pipeline && evq pipeline run flow.py
"""

import evq

plain = {"env": "none"}


@evq.step(**plain)
def prepare(points: int) -> list[list[float]]:
    """Noisy points on a line."""
    import random

    chance = random.Random(0)
    return [[n / points, 3 * n / points + 1 + chance.gauss(0, 0.1)] for n in range(points)]


@evq.step(**plain, on_failure="continue")
def train(rate: float, data: list[list[float]]) -> dict[str, float]:
    """A line through them by gradient descent."""
    slope, offset, loss = 0.0, 0.0, float("inf")
    for step in range(40):
        errors = [slope * x + offset - y for x, y in data]
        loss = sum(error**2 for error in errors) / len(errors)
        evq.log({"loss": loss}, step=step)
        slope -= rate * 2 * sum(e * x for e, (x, _) in zip(errors, data, strict=True)) / len(errors)
        offset -= rate * 2 * sum(errors) / len(errors)
    if loss > 10:
        raise ValueError(f"rate {rate} is too large")
    return {"rate": rate, "loss": loss}


@evq.step(**plain)
def best(losses: list[float | None], rates: list[float | None]) -> float:
    """The rate with the least loss; of one that failed there is neither."""
    loss, rate = min(
        (loss, rate)
        for loss, rate in zip(losses, rates, strict=True)
        if loss is not None and rate is not None
    )
    print(f"rate {rate} is best: loss {loss:.4f}")
    return rate


@evq.pipeline(name="line-flow", cache=True)
def line(points: int = 60, rates: tuple[float, ...] = (0.02, 0.1, 0.3, 0.6, 1.2)) -> None:
    """Fit with each of the rates, and take the best."""
    fits = train(evq.each(rates), data=prepare(points))
    best(fits["loss"], fits["rate"])
