"""One worker, one queue, one task: what `enter` opens on a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import msgspec
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Footer, Static

from ...core.errors import EvqError
from ...core.ports import BusAway
from ...core.queueing.permits import limit_text
from ...core.sdk.live import LiveAgent, LiveFleet, LiveQueue, LiveTask
from ...core.sdk.live.readings import cpu_of, memory_of
from ...core.sdk.waiting import explain
from ...core.state import Ended
from ...core.units import size_text
from ...core.words.phrases import ago, count_of, span
from ..tasks.figures import percent
from ..tasks.logs import last_lines
from ..tasks.remedy import LAST_LINES, explanation, failed
from ..tasks.render import now
from ..tasks.show import page
from .table import FleetTable
from .tabs import GPUS, TASKS, Gpu, Tab
from .text import colored_line, colored_lines, plain

if TYPE_CHECKING:
    from .app import Top

BACK = Binding("escape,backspace", "app.pop_screen", "Back", key_display="esc")


class Page(Screen[None]):
    """What all pages share: a head that says how fresh it is, and the way back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "app.help", "Help", key_display="?"),
        Binding("q", "app.quit", "Quit"),
    ]

    @property
    def top(self) -> Top:
        """The app that this is a page of."""
        return self.app  # type: ignore[return-value]

    @property
    def fleet(self) -> LiveFleet:
        """The fleet."""
        return self.top.fleet

    def show(self) -> None:
        """Draw what has changed in the fleet."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """Begin with what is known."""
        self.call_after_refresh(self.top.draw)


class TablePage(Page):
    """Facts above a table of tasks."""

    def __init__(self, tab: Tab) -> None:
        super().__init__()
        self._facts = Static(classes="facts")
        self.table = FleetTable(tab)

    def compose(self) -> ComposeResult:
        yield Static(classes="summary", id="summary")
        yield self._facts
        yield self.table
        yield Footer(compact=True)

    def on_data_table_row_selected(self) -> None:
        """Open the task that the cursor is on."""
        task = self.table.selected
        if isinstance(task, LiveTask):
            self.top.open_task(task.id)

    def facts(self) -> list[tuple[str, str]]:
        """What stands above the table."""
        raise NotImplementedError

    def show(self) -> None:
        self._facts.update(_facts(self.facts()))
        self.table.show(self.fleet)

    @property
    def meant(self) -> LiveTask | None:
        """The task that an action means."""
        found = self.table.selected
        return found if isinstance(found, LiveTask) else None


def _facts(facts: list[tuple[str, str]]) -> Text:
    text = Text()
    for title, words in facts:
        if words:
            line = Text("\n" if text else "").append(f"{title:<9} ", style="dim")
            text.append_text(line.append_text(colored_line(words)))
    return text


def _tasks_of(worker: str) -> Tab:
    """The table of tasks, only with those of one worker."""

    def items(fleet: LiveFleet, _: bool) -> list[LiveTask]:
        return [one for one in fleet.with_agents() if one.agent == worker]

    return msgspec.structs.replace(TASKS, items=items)


class WorkerPage(TablePage):
    """One worker: what it is, and the tasks it has."""

    BINDINGS: ClassVar[list[BindingType]] = [
        BACK,
        ("d", "app.drain", "Drain"),
        ("u", "app.resume", "Resume"),
        ("l", "app.log", "Log"),
        ("a", "app.abort", "Abort"),
    ]

    def __init__(self, name: str) -> None:
        super().__init__(_tasks_of(name))
        self.name_of_worker = name

    @property
    def agent(self) -> LiveAgent | None:
        """The worker, as far as it is known still."""
        return self.fleet.agents.get(self.name_of_worker)

    def facts(self) -> list[tuple[str, str]]:
        one = self.agent
        if one is None:
            return [("worker", f"{self.name_of_worker} is not known")]
        offer, free = (one.presence.offer, one.presence.free) if one.presence else (None, None)
        record = one.record
        up = f", up {ago(one.since, now())}" if one.there and one.since else ""
        machine = [
            f"CPU {percent(cpu_of(one.sample))}" if one.sample else "",
            f"memory {percent(memory_of(one.sample))}" if one.sample else "",
            one.sample.trouble if one.sample else "",
        ]
        return [
            ("worker", f"{one.name} on {one.host}{up}"),
            ("state", f"{one.state}{': ' + one.why if one.why else ''}"),
            ("slots", f"{one.busy} of {one.slots} taken" if one.there else ""),
            ("queues", ", ".join(one.queues)),
            ("machine", ", ".join(filter(None, machine))),
            (
                "free",
                f"{free.cpus:g} of {offer.cpus:g} CPUs, {size_text(max(0, free.memory))} of "
                f"{size_text(offer.memory)} not asked for"
                if offer and free and offer.cpus
                else "",
            ),
            ("reserved", one.presence.reserved if one.presence else ""),
            ("gpus", _gpus_text(one)),
            ("version", f"evq {record.version}" if record and record.version else ""),
        ]


def _gpus_text(agent: LiveAgent) -> str:
    if agent.presence is None:
        return ""
    gpus = [Gpu(agent, agent.presence, device) for device in agent.presence.devices]
    fields = {field.title: field for field in GPUS.fields}
    words = []
    for gpu in gpus[:8]:
        use = fields["UTIL"].text(gpu, 0) or gpu.state
        words.append(f"{gpu.device.index}:{use}")
    return " ".join(words) + (f" and {len(gpus) - 8} more" if len(gpus) > 8 else "")


class QueuePage(TablePage):
    """One queue: what was done to it, and its line."""

    BINDINGS: ClassVar[list[BindingType]] = [
        BACK,
        ("p", "app.pause", "Pause"),
        ("w", "app.why", "Why"),
        ("m", "app.move", "Move"),
        ("a", "app.abort", "Abort"),
    ]

    def __init__(self, name: str) -> None:
        def line(fleet: LiveFleet, every: bool) -> list[LiveTask]:
            running = [one for one in fleet.with_agents() if one.queue == name]
            return [*running, *fleet.line(name, 10**9 if every else 500)]

        super().__init__(msgspec.structs.replace(TASKS, items=line))
        self.name_of_queue = name

    @property
    def queue(self) -> LiveQueue | None:
        """The queue, as far as it is known still."""
        return self.fleet.queues.get(self.name_of_queue)

    def facts(self) -> list[tuple[str, str]]:
        one = self.queue
        if one is None:
            return [("queue", f"{self.name_of_queue} is not known")]
        paused = f" by {one.by}: {one.reason}" if one.state == "paused" else ""
        waits = span(one.wait_median)
        held = f", {one.held} held" if one.held else ""
        return [
            ("queue", f"{one.name}{' – ' + one.description if one.description else ''}"),
            ("state", f"{one.state}{paused}{', shared out evenly among users' * one.fair}"),
            ("tasks", f"{one.queued} wait{held}, {one.claimed} in set-up, {one.running} run"),
            (
                "ended",
                f"{one.completed} completed, {one.failed} failed, {one.timed_out} ran out of "
                f"time, {one.aborted} aborted",
            ),
            ("limit", limit_text(one.permits) if one.permits.limited else ""),
            ("waits", f"{waits} at the median lately" if waits else ""),
            (
                "served by",
                f"{', '.join(one.agents)} with {count_of(one.slots, 'slot')}"
                if one.agents
                else f"nobody  (evq agent --queues {one.name})",
            ),
        ]


class TaskPage(Page):
    """One task: all that `evq show` and `evq why` say of it, live."""

    BINDINGS: ClassVar[list[BindingType]] = [
        BACK,
        ("l", "app.log", "Log"),
        ("w", "app.why", "Why"),
        ("a", "app.abort", "Abort"),
        ("r", "app.retry", "Retry"),
        ("m", "app.move", "Move"),
    ]

    def __init__(self, id: str) -> None:
        super().__init__()
        self.task_id = id
        self._seen = -1
        self._text = Static(classes="facts")

    def compose(self) -> ComposeResult:
        yield Static(classes="summary", id="summary")
        with VerticalScroll():
            yield self._text
        yield Footer(compact=True)

    @property
    def meant(self) -> LiveTask | None:
        """The task in its light row, unless it ended long ago."""
        return self.fleet.tasks.get(self.task_id)

    def show(self) -> None:
        row = self.meant
        # One that waits is looked at again now and then: its place changes with those of others.
        self.run_worker(self._look(row.seq if row else 0), exclusive=True, group="look")

    async def _look(self, seq: int) -> None:
        try:
            self._text.update(await task_text(self.top, self.task_id))
        except (EvqError, BusAway) as error:
            self._text.update(plain(str(error)))


async def task_text(top: Top, id: str) -> Text:
    """All that is known of a task."""
    client = top.client
    task = await client.get(id)
    lines = page(task)
    if not isinstance(task.state, Ended):
        lines += ["", *await why_lines(top, id)]
    elif failed(task):
        lines += ["", *explanation(task, await last_lines(client, task, LAST_LINES))]
    return colored_lines(lines)


async def why_lines(top: Top, id: str) -> list[str]:
    """Why a task is in the state it is in."""
    known = await explain(top.client, await top.client.get(id))
    lines = [known.waits.text] if known.waits else []
    lines += [f"{'✔' if one.ok else '✘'} {one.text}" for one in known.reasons]
    if known.start_text:
        lines.append(known.start_text)
    return lines or [f"the task is {known.task.name_of_state}"]
