"""Fits a line by gradient descent; fails if it runs away."""

import argparse
import json
import sys

import evq

parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float, required=True)
parser.add_argument("--data", type=json.loads, required=True)
given = parser.parse_args()

slope, offset, loss = 0.0, 0.0, float("inf")
for step in range(40):
    errors = [slope * x + offset - y for x, y in given.data]
    loss = sum(error**2 for error in errors) / len(errors)
    evq.log({"loss": loss}, step=step)
    slope -= (
        given.rate
        * 2
        * sum(e * x for e, (x, _) in zip(errors, given.data, strict=True))
        / len(errors)
    )
    offset -= given.rate * 2 * sum(errors) / len(errors)
if loss > 10:
    sys.exit(f"rate {given.rate} is too large: the loss is {loss:.3g}")
evq.output(loss=round(loss, 5), line=[round(slope, 3), round(offset, 3)])
print(f"y = {slope:.2f} x + {offset:.2f}")
