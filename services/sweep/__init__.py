"""Sweeps: many trials of one task with other parameters, chosen and judged with Optuna.

What a sweep decides stands in its journal, and nowhere else: `evolve` folds it, `decide` says what
comes next, and `controller` does it. Only `study` and `pruner` know Optuna.
"""
