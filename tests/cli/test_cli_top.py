"""`evq top` in 80 columns and 24 lines: driven by Textual's pilot, and in a real terminal."""

from __future__ import annotations

import asyncio
import re
import secrets
import shlex
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, RichLog

from evq.cli.top.app import Top
from evq.core.events import AbortRequested, DrainRequested, Moved
from evq.core.fleet.resources import Device, Offer
from evq.core.sdk.client import Client
from evq.core.sdk.live import live_fleet
from evq.core.subjects import agent_events, lifecycle
from evq.core.wire import decode

SIZE = (80, 24)
HOSTILE = "a[bold]b\x1b[2J\x1b]0;title\x07c\rd\u202ee[/]"


@asynccontextmanager
async def shown(bus: Any, *, read_only: bool = False) -> AsyncIterator[Pilot[None]]:
    """`evq top` on the test's server, with nobody at the keyboard but the test."""
    client = Client(bus)
    async with live_fleet(client) as fleet:
        await fleet.caught_up()
        top = Top(client, fleet, read_only=read_only)
        async with top.run_test(size=SIZE, notifications=True) as pilot:
            await pilot.pause()
            yield pilot
        assert top.failed is None


def screen(pilot: Pilot[None]) -> str:
    """What a reader sees, line by line."""
    lines = pilot.app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in line) for line in lines)


@pytest.fixture
def sees(until: Callable[..., Any]) -> Callable[[Pilot[None], str], Any]:
    """`await sees(pilot, pattern)` returns when the screen has what the pattern wants."""

    async def seeing(pilot: Pilot[None], pattern: str) -> str:
        async def there() -> str:
            await pilot.pause(0.05)
            found = screen(pilot)
            return found if re.search(pattern, found) else ""

        try:
            return str(await until(there))
        except BaseException:
            print(screen(pilot))
            raise

    return seeing


@pytest.fixture
def into(until: Callable[..., Any]) -> Callable[..., Any]:
    """`await into(pilot, "m", "asked")` presses a key and returns when what is typed next goes to
    that field, or to a field or table of that kind."""

    async def pressing(pilot: Pilot[None], key: str, wanted: str | type = DataTable) -> None:
        await pilot.press(key)

        def there() -> bool:
            focused = pilot.app.focused
            if isinstance(wanted, type):
                return isinstance(focused, wanted)
            return focused is not None and focused.id == wanted

        await until(there, f"{wanted} after {key}")

    return pressing


async def events_of(bus: Any, subject: str, kind: type) -> list[Any]:
    found = [decode(stored.data) for stored in await bus.log.history(subject)]
    return [one for one in found if isinstance(getattr(one, "event", None), kind)]


async def test_the_tables_show_the_fleet_and_follow_it(
    bus: Any, played: Any, make_spec: Any, sees: Any
) -> None:
    gpu = Device(id="GPU-1", index=0, name="H100", memory=2**36, free_memory=2**36)
    offer = Offer(2, 8, 2**34, (gpu,))
    await played.appear("default", offer=offer, free=offer)
    client = Client(bus)
    first = (await client.enqueue(make_spec())).task
    async with shown(bus) as pilot:
        await sees(pilot, r"evq top  1 worker  0/2 slots  0/1 GPUs  1 wait  0 run")
        await sees(pilot, r"laptop +idle +0/2 +0/1")
        await pilot.press("2")
        await sees(pilot, r"laptop +0 +H100 +free")
        await pilot.press("3")
        await sees(pilot, r"default +open +1 ")
        await pilot.press("4")
        await sees(pilot, rf"{first} +train.py +queued")
        second = (await client.enqueue(make_spec(name="other.py"))).task
        await sees(pilot, rf"{second} +other.py +queued")
        await played.claims(first)
        await sees(pilot, rf"{first} +train.py +claimed .*laptop")
        await played.starts(first)
        await played.ends(first, exit_code=3)
        await sees(pilot, rf"{first} +train.py +failed .*exit 3")
        await pilot.press("5")
        await sees(pilot, rf"{first} +failed")
        assert all(len(line) <= 80 for line in screen(pilot).split("\n"))


async def test_rows_are_filtered_and_sorted(bus: Any, make_spec: Any, sees: Any, into: Any) -> None:
    client = Client(bus)
    for name in ("bee", "ant", "cat"):
        await client.enqueue(make_spec(name=name))
    async with shown(bus) as pilot:
        await pilot.press("4")
        await sees(pilot, r"(?s)bee.*ant.*cat")
        await pilot.press("s", "s")
        await sees(pilot, r"(?s)NAME▼.*ant.*bee.*cat")
        await pilot.press("S")
        await sees(pilot, r"(?s)NAME▲.*cat.*bee.*ant")
        await into(pilot, "slash", Input)
        await pilot.press(*"ant")
        await into(pilot, "enter")
        await sees(pilot, r"(?s)^(?!.*(bee|cat)).*ant")
        await pilot.press("escape")
        await sees(pilot, r"(?s)cat.*bee.*ant")


async def test_one_goes_down_into_a_worker_a_queue_a_task_and_its_log(
    bus: Any, played: Any, make_spec: Any, sees: Any, into: Any
) -> None:
    client = Client(bus)
    task = (await client.enqueue(make_spec())).task
    await played.appear("default")
    await played.claims(task)
    running = await played.starts(task)
    await played.says(running, ("s", "set up"), ("o", "step 1"), ("e", "warning"))
    async with shown(bus) as pilot:
        await sees(pilot, r"laptop +busy|laptop +idle")
        await pilot.press("enter")
        await sees(pilot, r"worker +laptop on laptop")
        await into(pilot, "escape")
        await into(pilot, "3")
        await sees(pilot, r"default +open")
        await pilot.press("enter")
        await sees(pilot, r"tasks +0 wait, 0 in set-up, 1 run")
        await pilot.press("enter")
        await sees(pilot, rf"task {task}  train.py")
        await sees(pilot, r"agent laptop is")
        await pilot.press("l")
        await sees(pilot, r"(?s)set up.*step 1.*warning")
        await played.says(running, ("o", "step 2"), ("o", "50%\r100%"))
        await sees(pilot, r"(?s)step 2.*\n +100%")
        assert "50%" not in screen(pilot)
        await into(pilot, "slash", Input)
        await pilot.press(*"step")
        await into(pilot, "enter", RichLog)
        await sees(pilot, r"(?s)^(?!.*warning).*only 'step'")
        await played.ends(task)
        await sees(pilot, rf"log of {task} train.py: completed")
        assert isinstance(pilot.app.screen.query_one(RichLog), RichLog)


async def test_why_is_what_the_verb_says(bus: Any, make_spec: Any, sees: Any) -> None:
    await Client(bus).enqueue(make_spec())
    async with shown(bus) as pilot:
        await pilot.press("4")
        await sees(pilot, r"train.py +queued")
        await pilot.press("w")
        await sees(pilot, r"no agent serves queue default, and no agent is there at all")


async def test_actions_ask_first_and_are_recorded(
    bus: Any, played: Any, make_spec: Any, sees: Any, into: Any
) -> None:
    client = Client(bus)
    tasks = [(await client.enqueue(make_spec())).task for _ in range(2)]
    await played.appear("default")
    await played.claims(tasks[0])
    async with shown(bus) as pilot:
        await into(pilot, "4")
        await sees(pilot, rf"{tasks[0]} +train.py +claimed")
        await into(pilot, "a", "reason")
        await sees(pilot, rf"Abort task {tasks[0]}")
        await into(pilot, "escape")
        await into(pilot, "a", "reason")
        await pilot.press(*"why not")
        await into(pilot, "enter")
        await sees(pilot, r"is told to end")
        (abort,) = await events_of(bus, lifecycle("default", tasks[0]), AbortRequested)
        assert (abort.event.reason, abort.by) == ("why not", client.author.by)

        await pilot.press("down")
        await into(pilot, "m", "asked")
        await sees(pilot, rf"Move task {tasks[1]}")
        await pilot.press(*"night")
        await into(pilot, "enter", "reason")
        await into(pilot, "enter")
        await sees(pilot, rf"{tasks[1]} +train.py +queued +\S+ +night")
        (moved,) = await events_of(bus, lifecycle("default", tasks[1]), Moved)
        assert (moved.event.queue, moved.event.reason) == ("night", "evq top")

        await into(pilot, "1")
        await into(pilot, "d", "reason")
        await into(pilot, "enter")
        await sees(pilot, r"laptop takes nothing more")
        (drain,) = await events_of(bus, agent_events("laptop"), DrainRequested)
        assert drain.by == client.author.by

        await into(pilot, "3")
        await into(pilot, "p", "reason")
        await pilot.press(*"maintenance")
        await into(pilot, "enter")
        await sees(pilot, r"default +paused")
        assert (await client.queue("default")).reason == "maintenance"
        await into(pilot, "p", "reason")
        await into(pilot, "enter")
        await sees(pilot, r"default +open")


async def test_what_cannot_be_done_is_said_as_the_verb_says_it(
    bus: Any, played: Any, make_spec: Any, sees: Any, into: Any
) -> None:
    await Client(bus).enqueue(make_spec())
    await played.appear("default")
    async with shown(bus) as pilot:
        await into(pilot, "4")
        await sees(pilot, r"train.py +queued")
        await into(pilot, "r", "reason")
        await into(pilot, "enter")
        await sees(pilot, r"error\[E\d\d\]")
        await into(pilot, "1")
        await into(pilot, "u", "reason")
        await into(pilot, "enter")
        await sees(pilot, r"agent\W+laptop\W+is\W+not\W+drained")


async def test_read_only_changes_nothing_and_says_so(
    bus: Any, played: Any, make_spec: Any, sees: Any, until: Any
) -> None:
    task = (await Client(bus).enqueue(make_spec())).task
    await played.appear("default")
    before = await bus.log.last_seq()
    async with shown(bus, read_only=True) as pilot:
        await sees(pilot, "read-only")
        tables = pilot.app.screen
        for keys in (["4", "a"], ["r"], ["m"], ["1", "d"], ["u"], ["3", "p"]):
            await pilot.press(*keys)
            await sees(pilot, r"not done")
            await pilot.press("enter")
            await until(lambda: pilot.app.screen is not tables)
            await pilot.press("escape")
            await until(lambda: pilot.app.screen is tables)
    assert await bus.log.last_seq() == before
    assert (await Client(bus).get(task)).name_of_state == "queued"


async def test_what_people_write_is_text(bus: Any, played: Any, make_spec: Any, sees: Any) -> None:
    """Markup and codes for terminals in names, reasons and logs do nothing."""
    client = Client(bus)
    task = (await client.enqueue(make_spec(name=HOSTILE, user=HOSTILE, tags=(HOSTILE,)))).task
    await played.appear("default", paused=HOSTILE)
    await played.claims(task)
    running = await played.starts(task)
    await played.says(running, ("o", HOSTILE), ("e", HOSTILE))
    async with shown(bus) as pilot:
        await pilot.press("4")
        await sees(pilot, r"a\[bold\]b")
        seen = screen(pilot)
        for keys in (["enter"], ["l"], ["escape", "escape", "a"], ["escape", "w"], ["escape", "5"]):
            await pilot.press(*keys)
            await pilot.pause(0.3)
            seen += screen(pilot)
        assert not set(seen) & set("\x1b\x07\r\u202e")


async def test_a_server_that_goes_and_comes_is_told_of(
    own_nats_server: Any, make_spec: Any, sees: Any, own_bus: Any
) -> None:
    await Client(own_bus).enqueue(make_spec(name="before"))
    async with shown(own_bus) as pilot:
        await pilot.press("4")
        await sees(pilot, r"before +queued")
        own_nats_server.kill()
        await sees(pilot, "NOT CONNECTED")
        await sees(pilot, r"before +queued")
        own_nats_server.start()
        await sees(pilot, r"live, no projector")
        await Client(own_bus).enqueue(make_spec(name="after"))
        await sees(pilot, r"after +queued")


@pytest.fixture
async def own_bus(own_nats_server: Any) -> AsyncIterator[Any]:
    from evq.core.bus.connect import connect

    async with connect(own_nats_server.login, "test", patience=30) as bus:
        await bus.prepare()
        yield bus


# --- the verb -------------------------------------------------------------------------------------


async def test_once_is_for_scripts(evq: Any, played: Any, bus: Any, make_spec: Any) -> None:
    task = (await Client(bus).enqueue(make_spec())).task
    await played.appear("default")
    await played.claims(task)
    printed = await evq("top", "--once")
    assert printed.status == 0, printed.err
    assert re.search(r"^laptop +idle +0/2", printed.out, re.M)
    assert re.search(rf"^{task} +train.py +claimed", printed.out, re.M)
    facts = (await evq("top", "--json")).json
    assert facts["connected"] and facts["behind"] == 0 and facts["projected"] is None
    assert [one["worker"] for one in facts["workers"]] == ["laptop"]
    assert [(one["task"], one["state"]) for one in facts["tasks"]] == [(task, "claimed")]
    assert facts["queues"][0]["claimed"] == 1


async def test_without_a_terminal_it_says_what_to_do(evq: Any) -> None:
    refused = await evq("top")
    assert refused.status == 2 and "evq top --once" in refused.err


async def test_its_help_loads_no_screen(evq: Any) -> None:
    code = "import sys; from evq.cli.main import main\ntry: main(['top', '--help'])\n"
    code += "except SystemExit: assert 'textual' not in sys.modules"
    python = evq.argv()[0]
    done = await asyncio.to_thread(subprocess.run, [python, "-c", code], capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")
async def test_in_a_real_terminal(
    evq: Any, played: Any, bus: Any, make_spec: Any, until: Any
) -> None:
    task = (await Client(bus).enqueue(make_spec())).task
    await played.appear("default")
    socket = f"evq-{secrets.token_hex(4)}"

    def tmux(*words: str) -> str:
        argv = ["tmux", "-L", socket, *words]
        return subprocess.run(argv, env=evq.env, capture_output=True, text=True).stdout

    line = shlex.join(evq.argv("top")) + "; echo status $?; exec cat"
    tmux("new-session", "-d", "-x", "80", "-y", "24", "-c", str(evq.cwd), line)
    try:
        await until(lambda: "laptop" in tmux("capture-pane", "-p"))
        tmux("send-keys", "4")
        await until(lambda: task in tmux("capture-pane", "-p"))
        tmux("send-keys", "q")
        await until(lambda: "status 0" in tmux("capture-pane", "-p"))
    finally:
        tmux("kill-server")
