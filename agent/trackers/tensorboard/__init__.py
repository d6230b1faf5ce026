"""Reads the event files that a task writes for TensorBoard, as they grow.

Nothing of a task is asked: whoever writes such files in the task's folder is heard.
"""
