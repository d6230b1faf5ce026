"""The GPUs of a machine: what there is, what they do, and who may use which.

`port` says what the rest of evq sees of GPUs, `find` which of its implementations a machine has.
"""
