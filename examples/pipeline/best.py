"""Chooses the rate with the least loss; a rate that failed has none."""

import argparse
import json

import evq

parser = argparse.ArgumentParser()
parser.add_argument("--losses", type=json.loads, required=True)
parser.add_argument("--rates", type=json.loads, required=True)
given = parser.parse_args()

loss, rate = min(
    (loss, rate) for loss, rate in zip(given.losses, given.rates, strict=True) if loss is not None
)
evq.output(loss=loss, rate=rate)
