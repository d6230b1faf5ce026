"""Machines come when tasks wait for them, and go when nothing is left to do.

`definition` says what is wished, `facts` what was decided, `state` is the fold of that; `capacity`
and `planning` decide without looking at anything; `looking` looks, `controller` acts, and `drivers`
know how machines are had.
"""
