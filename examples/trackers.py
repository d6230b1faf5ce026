# /// script
# requires-python = ">=3.10"
# dependencies = ["mlflow-skinny>=3.5,<4", "tensorboardX>=2.6,<3"]
# ///
"""Logs by MLflow and by TensorBoard and knows nothing of evq, which has all of it nevertheless.

evq run examples/trackers.py -- --lr 0.1
"""

import argparse
import math

import mlflow
from tensorboardX import SummaryWriter


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.1)
    lr = parser.parse_args().lr
    with mlflow.start_run(run_name="decay"), SummaryWriter() as writer:
        mlflow.log_params({"optimizer": "sgd", "decay": lr})
        for step in range(100):
            loss = math.exp(-lr * step)
            mlflow.log_metric("loss", loss, step=step)
            writer.add_scalar("loss/log10", math.log10(loss), step)
        mlflow.set_tag("state", "converged")
        mlflow.log_text(f"the last loss was {loss:g}\n", "summary.txt")


if __name__ == "__main__":
    main()
