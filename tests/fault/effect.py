"""A step of a pipeline that leaves a line in a file when it is through: FILE NAME VALUE."""

from __future__ import annotations

import json
import os
import sys

import evq

file, name, value = sys.argv[1:4]
evq.output(value=json.loads(value), parts=list(range(9)))
with open(file, "a") as effects:
    effects.write(f"{name} {os.environ['EVQ_TASK_ID']} {os.environ['EVQ_ATTEMPT']}\n")
