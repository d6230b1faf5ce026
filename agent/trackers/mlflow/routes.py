"""The routes of MLflow's REST interface that a client needs while it logs."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from .bodies import Batch, Metric, Named, OfRun, Pair, RunCreate, RunUpdate, Search, read
from .refusal import Refusal
from .runs import ARTIFACTS, EXPERIMENT, NAME
from .visit import Handler, Visit, body

API = "/api/2.0/mlflow"


async def create_run(visit: Visit, request: Request) -> Any:
    wish = read(await body(request), RunCreate)
    run = visit.runs.create(wish)
    await visit.log(run, Batch(tags=wish.tags))
    return {"run": visit.shown(run)}


async def update_run(visit: Visit, request: Request) -> Any:
    wish = read(await body(request), RunUpdate)
    run = visit.runs.get(wish.run)
    visit.runs.update(run, wish)
    if wish.run_name:
        await visit.log(run, Batch(tags=[Pair(NAME, wish.run_name)]))
    return {"run_info": run.info()}


async def get_run(visit: Visit, request: Request) -> Any:
    return {"run": visit.shown(visit.runs.get(_asked(request)))}


async def search_runs(visit: Visit, request: Request) -> Any:
    if read(await body(request), Search).filter.strip():
        raise Refusal(
            "evq serves a task its own runs, and searches them by no filter; "
            "for those of all tasks ask: evq sql"
        )
    return {"runs": [visit.shown(run) for run in visit.runs if run.taken]}


async def log_batch(visit: Visit, request: Request) -> Any:
    batch = read(await body(request), Batch)
    await visit.log(visit.runs.get(batch.run), batch)
    return {}


async def log_metric(visit: Visit, request: Request) -> Any:
    data = await body(request)
    run = visit.runs.get(read(data, OfRun).run)
    await visit.log(run, Batch(metrics=[read(data, Metric)]))
    return {}


async def log_parameter(visit: Visit, request: Request) -> Any:
    data = await body(request)
    run = visit.runs.get(read(data, OfRun).run)
    await visit.log(run, Batch(params=[read(data, Pair)]))
    return {}


async def set_tag(visit: Visit, request: Request) -> Any:
    data = await body(request)
    run = visit.runs.get(read(data, OfRun).run)
    await visit.log(run, Batch(tags=[read(data, Pair)]))
    return {}


async def delete_tag(visit: Visit, request: Request) -> Any:
    data = await body(request)
    visit.runs.get(read(data, OfRun).run).tags.pop(read(data, Pair).key, None)
    return {}


async def accept(visit: Visit, request: Request) -> Any:
    """What MLflow's own logging says besides, and evq has no use for."""
    await body(request)
    return {}


async def history(visit: Visit, request: Request) -> Any:
    run = visit.runs.get(_asked(request))
    return {"metrics": list(run.history.get(request.query_params.get("metric_key", ""), ()))}


async def experiment(visit: Visit, request: Request) -> Any:
    """A task is one experiment, which has the name that it was last given."""
    if name := request.query_params.get("experiment_name"):
        visit.runs.experiment = name[:500]
    return {"experiment": _experiment(visit)}


async def create_experiment(visit: Visit, request: Request) -> Any:
    visit.runs.experiment = read(await body(request), Named).name[:500] or visit.runs.experiment
    return {"experiment_id": EXPERIMENT}


async def search_experiments(visit: Visit, request: Request) -> Any:
    await body(request)
    return {"experiments": [_experiment(visit)]}


def _experiment(visit: Visit) -> dict[str, Any]:
    return {
        "experiment_id": EXPERIMENT,
        "name": visit.runs.experiment,
        "artifact_location": ARTIFACTS,
        "lifecycle_stage": "active",
    }


def _asked(request: Request) -> str:
    return request.query_params.get("run_id") or request.query_params.get("run_uuid", "")


ROUTES: dict[tuple[str, str], Handler] = {
    ("POST", f"{API}/runs/create"): create_run,
    ("POST", f"{API}/runs/update"): update_run,
    ("GET", f"{API}/runs/get"): get_run,
    ("POST", f"{API}/runs/search"): search_runs,
    ("POST", f"{API}/runs/log-batch"): log_batch,
    ("POST", f"{API}/runs/log-metric"): log_metric,
    ("POST", f"{API}/runs/log-parameter"): log_parameter,
    ("POST", f"{API}/runs/set-tag"): set_tag,
    ("POST", f"{API}/runs/delete-tag"): delete_tag,
    ("POST", f"{API}/runs/log-inputs"): accept,
    ("POST", f"{API}/runs/log-model"): accept,
    ("POST", f"{API}/runs/outputs"): accept,
    ("GET", f"{API}/metrics/get-history"): history,
    ("GET", f"{API}/experiments/get"): experiment,
    ("GET", f"{API}/experiments/get-by-name"): experiment,
    ("POST", f"{API}/experiments/create"): create_experiment,
    ("POST", f"{API}/experiments/search"): search_experiments,
    ("POST", f"{API}/experiments/set-experiment-tag"): accept,
}
