"""How the processes of attempts are started, contained and ended.

`supervisor` tells the whole story. It, `forking`, `process`, `packets` and `cgroup` run in
processes of their own, without evq's packages, also inside of containers: so this package imports
nothing by itself.
"""
