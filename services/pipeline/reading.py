"""A pipeline from its file: `pipeline.toml`, or Python with `@evq.pipeline`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...core import parameters
from ...core.errors import UsageError
from ...core.sdk import steps
from ...core.sdk.reading import read_text
from .definition import Definition, define, read_toml, with_params
from .graph import graph
from .tasks import frame


def read(path: Path, settings: Mapping[str, str]) -> Definition:
    """The pipeline in a file, with other values for some of its parameters, as they were typed.

    Raises `UsageError` that says what is wrong with it, and where.
    """
    if not path.is_file():
        raise UsageError(
            f"there is no file {path}",
            why="a pipeline is a TOML file, or a Python file with @evq.pipeline",
            fix="evq pipeline run pipeline.toml",
        )
    found = _of_python(path, settings) if path.suffix == ".py" else _of_toml(path, settings)
    graph(found, path.name)
    for name, step in found.steps.items():
        try:
            frame(step, "default")
        except UsageError as error:
            raise UsageError(
                f"{path.name}: step {name}: {error.what}", why=error.why, fix=error.fix
            ) from error
    return found


def _of_toml(path: Path, settings: Mapping[str, str]) -> Definition:
    found = read_toml(read_text(path), path.name)
    return with_params(found, typed(settings, found.params))


def _of_python(path: Path, settings: Mapping[str, str]) -> Definition:
    try:
        module = steps.load(str(path))
        (pipeline,) = _pipelines(module, path)
        known = pipeline.parameters()
        with_params(Definition(name=pipeline.name, steps={}, params=known), settings)
        params = {**known, **typed(settings, known)}
        drawn = pipeline.definition(path.name, params)
        # JSON's types are what the steps will be given.
        return define({**drawn, "params": _plain(params)}, path.name)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(
            f"the graph of {path.name} cannot be learned",
            why=f"{type(error).__name__}: {error}\n"
            "the file is read by the Python that evq itself runs on",
            fix="import what only the steps need inside of them",
        ) from error


def _pipelines(module: Any, path: Path) -> list[steps.Pipeline]:
    found = [one for one in vars(module).values() if isinstance(one, steps.Pipeline)]
    if len(found) != 1:
        names = ", ".join(one.name for one in found)
        raise UsageError(
            f"{path.name} holds {len(found) or 'no'} pipeline{'s' if len(found) != 1 else ''}",
            why=f"they are {names}" if found else "no function has @evq.pipeline",
            fix="one function with @evq.pipeline that calls the steps",
        )
    return found


def typed(settings: Mapping[str, str], known: Mapping[str, Any]) -> dict[str, Any]:
    """What was typed as the values that it reads as; a text stays one where the default is one."""
    return {
        name: text if isinstance(known.get(name), str) else _plain(parameters.typed(text))
        for name, text in settings.items()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
