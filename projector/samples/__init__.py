"""What agents saw of their machines, in the database: in full for a while, and summed up for good.

`columns` says once what there is to know, and makes tables and views of it; `record` takes a
sample apart, `write` writes batches, `roll_up` sums minutes and hours up and drops what is old.
"""
