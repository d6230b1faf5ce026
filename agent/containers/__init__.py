"""Containers: how an attempt runs inside an image of the user's choice.

The first process of a container is a supervisor of ours, the very code that contains attempts on
the bare machine; `docs/decisions/0009` says why, and how it runs in images that have no Python.
This package imports nothing by itself, because the supervisor inside runs without evq's packages.
"""
