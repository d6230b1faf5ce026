"""Makes noisy points on a line."""

import argparse
import random

import evq

parser = argparse.ArgumentParser()
parser.add_argument("--points", type=int, default=60)
points = parser.parse_args().points

chance = random.Random(0)
xs = [n / points for n in range(points)]
data = [[x, round(3 * x + 1 + chance.gauss(0, 0.1), 4)] for x in xs]
evq.output(data=data)
print(f"made {points} points")
