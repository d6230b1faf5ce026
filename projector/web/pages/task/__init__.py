"""A task: its state, timeline, log, curves, parameters, code, and why it failed."""

from __future__ import annotations

from nicegui import ui

from .....core.errors import EvqError
from ...address import Address
from ...frame import frame
from ...opening import BUILD_SECONDS
from ...source import Source
from .artifacts import add_artifact_files
from .log_file import add_log_file
from .log_view import sheet
from .page import TABS, TaskPage
from .story import story_of


def add(source: Source) -> None:
    """Put the page under `/tasks/ID`, and each log and artifact as a file below it."""
    add_log_file(source)
    add_artifact_files(source)

    @ui.page("/tasks/{task}", response_timeout=BUILD_SECONDS)
    async def page(
        task: str,
        tab: str = "log",
        attempt: str = "",
        q: str = "",
        show: str = "",
        line: str = "",
        metrics: str = "",
        x: str = "",
        scale: str = "",
    ) -> None:
        try:
            story = await story_of(source, task)
        except EvqError as error:
            with frame("Tasks", source.fleet):
                ui.label(str(error)).classes("text-lg evq-no-task")
            return
        address = Address(
            f"/tasks/{story.task.id}",
            tab="" if tab not in TABS or tab == "log" else tab,
            attempt=attempt,
            q=q,
            show=show,
            line=line,
            metrics=metrics,
            x=x,
            scale=scale,
        )
        ui.add_head_html(sheet())
        with frame(story.task.spec.name, source.fleet):
            await TaskPage(source, story, address).open()
