"""The controller of a run, as a task: `python -m evq.services.pipeline RUN`."""
