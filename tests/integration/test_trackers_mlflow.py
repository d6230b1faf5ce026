"""A stock MLflow client in a task: what it logs are the task's own metrics."""

import sys

from evq.core.events import Remarks

SCRIPT = """
import mlflow
mlflow.set_experiment("exp")
with mlflow.start_run(run_name="hello"):
    mlflow.log_param("lr", 0.1)
    mlflow.log_params({"a": 1, "b": "x"})
    mlflow.log_metric("loss", 0.5, step=3)
    mlflow.log_metrics({"acc": float("nan"), "b": float("inf")}, step=4)
    mlflow.set_tag("k", "v")
    mlflow.log_text("content", "d/y.txt")
    print(mlflow.artifacts.load_text(mlflow.get_artifact_uri("d/y.txt")))
    with mlflow.start_run(nested=True, run_name="child"):
        mlflow.log_metric("loss", 1)
run = mlflow.last_active_run()
print(run.data.params, run.data.metrics["loss"], run.info.run_id)
print(len(mlflow.search_runs(output_format="list")))
print([m.value for m in mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")])
"""


async def test_a_stock_client(served):
    task = await served.run(sys.executable, "-c", SCRIPT)
    print(await served.lines(task.id))
    assert task.name_of_state == "completed"
    print(await served.points(task.id))
    print([r for r in await served.records(task.id) if isinstance(r, Remarks)])
    assert 0
