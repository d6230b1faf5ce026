"""Models that a task logs: files among its artifacts, with a few words about each."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from starlette.requests import Request

from .bodies import MANY, Pair, read
from .refusal import Refusal
from .routes import API
from .runs import ARTIFACTS, EXPERIMENT, put
from .visit import Handler, Visit, body

PATH = f"{API}/logged-models"
ONE = PATH + "/{model}"
MOST_MODELS = 1000


class ModelCreate(msgspec.Struct, kw_only=True):
    """A model that a client is about to log."""

    name: str = ""
    model_type: str = ""
    source_run_id: str = ""
    params: Annotated[list[Pair], MANY] = []
    tags: Annotated[list[Pair], MANY] = []


class ModelWords(msgspec.Struct, kw_only=True):
    """What a client says of a model that there is."""

    status: str = ""
    params: Annotated[list[Pair], MANY] = []
    tags: Annotated[list[Pair], MANY] = []


@dataclass
class Model:
    """A model of an attempt."""

    id: str
    name: str
    type: str
    run: str
    status: str = "LOGGED_MODEL_PENDING"
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    made: int = field(default_factory=lambda: int(time.time() * 1000))

    def say(self, params: list[Pair], tags: list[Pair]) -> None:
        """Keep what is said of it."""
        put(self.params, params)
        put(self.tags, tags)

    def shown(self) -> dict[str, Any]:
        """It as MLflow's LoggedModel."""
        info = {
            "model_id": self.id,
            "experiment_id": EXPERIMENT,
            "name": self.name,
            "creation_timestamp_ms": self.made,
            "last_updated_timestamp_ms": self.made,
            "artifact_uri": f"{ARTIFACTS}/models/{self.id}",
            "status": self.status,
            "model_type": self.type,
            "source_run_id": self.run,
            "tags": [Pair(key, value) for key, value in self.tags.items()],
        }
        return {
            "model": {"info": info, "data": {"params": [Pair(*one) for one in self.params.items()]}}
        }


async def create(visit: Visit, request: Request) -> Any:
    wish = read(await body(request), ModelCreate)
    if len(visit.models) >= MOST_MODELS:
        raise Refusal(f"the task has {MOST_MODELS} models, evq takes no more")
    id = f"m-{visit.runs.ticket.run}-{len(visit.models) + 1}"
    model = Model(id, wish.name or id, wish.model_type, wish.source_run_id)
    model.say(wish.params, wish.tags)
    visit.models[id] = model
    return model.shown()


async def get(visit: Visit, request: Request) -> Any:
    return _asked(visit, request).shown()


async def tell(visit: Visit, request: Request) -> Any:
    model, words = _asked(visit, request), read(await body(request), ModelWords)
    model.status = words.status or model.status
    model.say(words.params, words.tags)
    return model.shown()


async def search(visit: Visit, request: Request) -> Any:
    await body(request)
    return {"models": [model.shown()["model"] for model in visit.models.values()]}


def _asked(visit: Visit, request: Request) -> Model:
    id = request.path_params["model"]
    if model := visit.models.get(id):
        return model
    raise Refusal(
        f"there is no model {id!r} in this task; evq serves a task its own models",
        "RESOURCE_DOES_NOT_EXIST",
        status=404,
    )


ROUTES: dict[tuple[str, str], Handler] = {
    ("POST", PATH): create,
    ("POST", f"{PATH}/search"): search,
    ("GET", ONE): get,
    ("PATCH", ONE): tell,
    ("POST", f"{ONE}/params"): tell,
    ("PATCH", f"{ONE}/tags"): tell,
}
