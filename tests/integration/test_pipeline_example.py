"""The example of docs/pipelines.md, copied, with real agents and a controller as a task."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from evq.core.sdk.sending import send
from evq.core.sdk.services import start_service
from evq.services.pipeline.creating import with_code
from evq.services.pipeline.journals import create, open_run, run_of
from evq.services.pipeline.reading import read
from evq.services.pipeline.run import Run

EXAMPLE = Path(__file__).parents[2] / "examples" / "pipeline"


@pytest.fixture
def run(apart: Any, start_agent: Any, own_nats_server: Any, tmp_path: Path) -> Any:
    """Runs a file of the example to its end."""
    light = type(apart)(apart.client, "services")
    login = own_nats_server.login
    start_agent([apart], "--slots", "3", login=login).ready()
    start_agent([light], "--services", "--allow-client", login=login).ready()
    folder = Path(shutil.copytree(EXAMPLE, tmp_path / "copied"))

    async def run(file: str, settings: dict[str, str]) -> Run:
        definition = read(folder / file, settings)
        with with_code(definition, folder, apart.name, "", False) as (created, code):
            await send(apart.client, code)
            journal = await create(apart.client, created)
        started = await start_service(apart.client, "pipeline", journal.name)
        await light.ended(started.task.id)
        return run_of(await open_run(apart.client, journal.name))

    return run


@pytest.mark.parametrize("file", ["pipeline.toml", "flow.py"])
async def test_it_completes_and_the_second_time_out_of_the_cache(run: Any, file: str) -> None:
    first = await run(file, {"rates": "[0.1, 9]"})
    outcomes = {name: first.result(name).outcome for name in first.parts}
    # A rate of 9 runs away, which the pipeline may go on after.
    assert first.state == "completed"
    assert [name for name, how in outcomes.items() if how != "completed"] == ["train[1]"]
    second = await run(file, {"rates": "[0.1, 9]"})
    assert second.state == "completed"
    assert [name for name in second.parts if not second.result(name).reused] == ["train[1]"]


async def test_a_metric_is_passed_on(run: Any, tmp_path: Path) -> None:
    (tmp_path / "copied" / "metric.toml").write_text(
        'name = "metric"\n[defaults]\nenv = "none"\n'
        "[steps.log]\ncommand = ['python3', '-c', "
        "'import evq; [evq.log({\"a.b\": n}, n) for n in range(9)]']\n"
        "[steps.take]\nargs = ['${steps.log.metrics.a.b}', '${steps.log.task}']\n"
        "command = ['python3', '-c', 'import evq, sys; evq.output(got=sys.argv[1:])']\n"
    )
    ended = await run("metric.toml", {})
    assert ended.state == "completed"
    assert ended.result("take").outputs == {"got": ["8.0", ended.result("log").task]}


SAVING = """
name = "saving"
[defaults]
env = "none"

[steps.save]
each = ["a", "b"]
command = ["python3", "save.py", "${item}"]

[steps.one]
each = "${steps.save}"
command = ["python3", "load.py", "${steps.save.artifacts.m.pt}"]

[steps.all]
command = ["cat", "0/m.pt", "1/m.pt"]
inputs = ["${steps.save.artifacts.m.pt}"]
"""


async def test_artifacts_are_passed_on(run: Any, tmp_path: Path) -> None:
    folder = tmp_path / "copied"
    (folder / "saving.toml").write_text(SAVING)
    (folder / "save.py").write_text(
        "import evq, sys\nopen('m.pt', 'w').write(sys.argv[1])\nevq.save('m.pt')\n"
    )
    (folder / "load.py").write_text(
        "import evq, sys\nevq.output(got=evq.load(sys.argv[1], to='there').read_text())\n"
    )
    ended = await run("saving.toml", {})
    assert ended.state == "completed", ended.ended
    assert [ended.result(f"one[{n}]").outputs["got"] for n in range(2)] == ["a", "b"]
