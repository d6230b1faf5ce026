"""What the machine does, and what each attempt takes of it: looked at, summed up and sent.

`watch` has the thread that looks, `host` asks the machine, `share` the processes of an attempt,
`gpus` the GPUs, and `summary` makes a sample of many looks.
"""
