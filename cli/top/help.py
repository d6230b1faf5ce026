"""What the keys of `evq top` do."""

HELP = """\

1 2 3 4 5   workers, GPUs, queues, tasks, events
enter       open the worker, queue or task that the cursor is on
esc         back; on a table: show all rows again
/           filter: words that a row must have
s  S        sort by the next column; the other way round

l           follow the log of a task (f: stay at its end or not, / search)
w           why a task waits, and when it starts
a  r  m     abort, retry, move a task
d  u        drain a worker, let it take tasks again
p           pause a queue, or let it go on

q           quit

Each of these asks first, and takes a reason. It is recorded with your
name, as if you had used the verb: evq events shows it."""
