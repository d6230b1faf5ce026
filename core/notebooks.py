"""How an attempt tells of its notebook with the outputs, which lies beside the code."""

PHASE = "notebook"
"""The step after a notebook ran; its detail is the object with the outputs."""

PREFIX = "notebook-"
"""How the names of such objects begin."""
