"""Code of remotes: fetched once into mirrors of this machine, and put in place from there.

Whatever a repository holds, nothing of it is executed and nothing is written outside of the work
tree; `tests/hostile` says what was tried.
"""
