"""What tasks say to the trackers that they know already, heard beside the task.

It becomes evq's own metrics, and remarks: parameters and tags. `mlflow` answers a stock MLflow
client, `tensorboard` reads event files as they grow.
"""
