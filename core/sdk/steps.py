"""Pipelines as Python functions.

    import evq

    @evq.step(queue="gpu", retries=2)
    def train(lr, seed):
        ...
        return {"loss": loss}

    @evq.step
    def best(losses):
        return min(losses)

    @evq.pipeline
    def search(lr=0.1, seeds=(1, 2, 3)):
        models = train(lr, seed=evq.each(seeds))
        best(models["loss"])

`evq pipeline run FILE` calls the function of the pipeline once to learn its graph: each call of a
step gives a promise of its result, and what a step is given says what it waits for. Called from
anywhere else all of them are plain functions. Each step runs as a task of its own then, by
`python -m evq_steps FILE:FUNCTION ARGUMENTS`: this file lies beside `core.sdk.task` on a task's
path, so it uses the standard library only and runs on any Python 3 a task may ask for.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, overload

RESULT = "result"
"""The output under which a step's function gives what it returned."""

_drawn: list[_Drawing] = []
"""The pipeline whose graph is being learned, if one is."""


class Promise:
    """What a step will have returned. `promise["loss"]` is a part of it."""

    def __init__(self, path: str, step: str, spread: bool) -> None:
        self.path = path
        self.step = step
        self.spread = spread
        """Whether the step runs once for each item of a list."""

    def __getitem__(self, key: str | int) -> Promise:
        return Promise(f"{self.path}.{key}", self.step, self.spread)

    def artifact(self, name: str) -> Promise:
        """An artifact that the step saves by `evq.save`, for `evq.load` in another."""
        return Promise(f"steps.{self.step}.artifacts.{name}", self.step, self.spread)

    def __iter__(self) -> Any:
        raise TypeError(
            f"the result of step {self.step} is not known yet: give it to another step, or "
            "run a step for each of its items by evq.each(…)"
        )

    def __bool__(self) -> bool:
        raise TypeError(f"the result of step {self.step} is not known yet: decide in a step")


class Each:
    """A list of whose items a step is to get one each; see `each`."""

    def __init__(self, items: Iterable[Any] | Promise) -> None:
        self.items = items if isinstance(items, Promise) else list(items)


def each(items: Iterable[Any] | Promise) -> Each:
    """Run a step once for each item: `train(seed=evq.each([1, 2, 3]))`.

    The result of a step that itself runs once for each item is given on one to one: each of the
    second begins when its own of the first has ended.
    """
    return Each(items)


class Step:
    """A function that runs as a task of its own in a pipeline."""

    def __init__(self, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.options = dict(options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not _drawn:
            return self.function(*args, **kwargs)
        return _drawn[-1].add(self, args, kwargs)

    def with_options(self, **options: Any) -> Step:
        """The same step with some options changed, for one call."""
        return Step(self.function, {**self.options, **options})


@overload
def step(function: Callable[..., Any], /) -> Step: ...
@overload
def step(**options: Any) -> Callable[[Callable[..., Any]], Step]: ...
def step(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a step. The options are those of a step in `pipeline.toml`, such as `queue`,
    `retries`, `timeout`, `requirements`, `image`, `cache`, `on_failure`, `after`."""
    if function is not None:
        return Step(function, options)
    return lambda function: Step(function, options)


class Pipeline:
    """A function that says which steps there are, and what they give to each other."""

    def __init__(self, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.options = dict(options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def parameters(self) -> dict[str, Any]:
        """The function's parameters and their defaults. Raises `TypeError` for one without."""
        import inspect

        found = {}
        for name, one in inspect.signature(self.function).parameters.items():
            if one.default is one.empty:
                raise TypeError(f"parameter {name} of pipeline {self.name} has no default")
            found[name] = one.default
        return found

    @property
    def name(self) -> str:
        """What the pipeline is called."""
        return str(self.options.get("name") or self.function.__name__.replace("_", "-"))

    def definition(self, file: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """The pipeline as `pipeline.toml` would have it; its functions lie in `file`."""
        drawing = _Drawing(file)
        _drawn.append(drawing)
        try:
            self.function(**params)
        finally:
            _drawn.pop()
        options = {name: value for name, value in self.options.items() if name != "name"}
        return {"name": self.name, **options, "params": dict(params), "steps": drawing.steps}


@overload
def pipeline(function: Callable[..., Any], /) -> Pipeline: ...
@overload
def pipeline(**options: Any) -> Callable[[Callable[..., Any]], Pipeline]: ...
def pipeline(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a pipeline. The options are those of `pipeline.toml` outside its steps:
    `name`, `on_failure`, `cache`, `defaults`. Its parameters are those of the pipeline, so each of
    them needs a default."""
    if function is not None:
        return Pipeline(function, options)
    return lambda function: Pipeline(function, options)


class _Drawing:
    """The graph of a pipeline as its function calls one step after another."""

    def __init__(self, file: str) -> None:
        self.steps: dict[str, dict[str, Any]] = {}
        self._file = file

    def add(self, step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Promise:
        import inspect

        bound = inspect.signature(step.function).bind(*args, **kwargs)
        name = self._name(str(step.options.get("name") or step.function.__name__))
        options = {key: value for key, value in step.options.items() if key != "name"}
        if after := options.pop("after", ()):
            options["after"] = [one.step if isinstance(one, Promise) else one for one in after]
        given: dict[str, Any] = {}
        spread = [one for one in bound.arguments.values() if isinstance(one, Each)]
        if len(spread) > 1:
            raise TypeError(f"step {name} has two lists to run for each item of")
        for key, value in bound.arguments.items():
            given[key] = _written(value)
        described = {**options, "function": self._where(step), "arguments": given}
        if spread:
            described["each"] = _items(spread[0])
        self.steps[name] = described
        return Promise(f"steps.{name}.outputs.{RESULT}", name, bool(spread))

    def _name(self, wanted: str) -> str:
        names = [wanted, *(f"{wanted}-{n}" for n in range(2, len(self.steps) + 3))]
        return next(name for name in names if name not in self.steps)

    def _where(self, step: Step) -> str:
        return f"{self._file}:{step.function.__qualname__}"


def _items(spread: Each) -> Any:
    """What `each` of a step is for this list."""
    items = spread.items
    if not isinstance(items, Promise):
        return [_written(item) for item in items]
    return f"${{steps.{items.step}}}" if items.spread else f"${{{items.path}}}"


def _written(value: Any) -> Any:
    """The value with references in the place of promises."""
    if isinstance(value, Promise):
        return f"${{{value.path}}}"
    if isinstance(value, Each):
        # Of a step that is spread itself, this one sees its own counterpart's result.
        one_to_one = isinstance(value.items, Promise) and value.items.spread
        return _written(value.items) if one_to_one else "${item}"
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, Mapping):
        return {str(key): _written(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_written(one) for one in value]
    return value


def load(path: str) -> Any:
    """The module that a file holds. Its folder is the first on the path, as for a script."""
    folder, name = os.path.split(os.path.abspath(path))
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(os.path.splitext(name)[0], path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    spec.loader.exec_module(module)
    return module


def run(place: str, arguments: str) -> None:
    """Call the function at `FILE:NAME` with arguments in JSON, and give its result out."""
    path, _, name = place.rpartition(":")
    found: Any = load(path)
    for part in name.split("."):
        found = getattr(found, part)
    result = getattr(found, "function", found)(**json.loads(arguments))
    # The task's own evq, whichever that is: this file is no part of it here.
    importlib.import_module("evq").output(**{RESULT: result})


if __name__ == "__main__":
    run(*sys.argv[1:])
