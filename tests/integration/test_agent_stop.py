"""How agents begin and end: names, draining, giving back, and the quiet between."""

import pytest

from evq.core.errors import Conflict
from evq.core.events import (
    AgentDown,
    AgentDraining,
    AgentLost,
    AgentUp,
    Cause,
    Claimed,
    Lost,
    Started,
)
from evq.core.ports import Entry
from evq.core.sdk.author import host_name
from evq.core.subjects import agent_events
from evq.core.wire import encode


async def present(client, name):
    """What an agent says of itself, or None."""
    return next((agent for agent in await client.agents() if agent.agent == name), None)


async def test_the_first_signal_lets_the_running_task_end(queue, gate, start_agent, until):
    agent = start_agent([queue], "--slots", "2").ready()
    runs = await queue.enqueue("sh", "-c", gate.wait)
    await gate.reached()
    agent.terminate()
    await queue.agent_event(agent.name, AgentDraining)
    waits = await queue.enqueue("true")

    async def told():
        return (await present(queue.client, agent.name)).draining

    await until(told)
    gate.open()
    assert (await queue.ended(runs)).name_of_state == "completed"
    assert await agent.over() == 0
    await queue.agent_event(agent.name, AgentDown)
    assert await present(queue.client, agent.name) is None
    assert await queue.envelopes(waits) == []


async def test_the_second_signal_gives_the_task_to_another_agent(queue, start_agent):
    agent = start_agent([queue], "--lease", "300").ready()
    task = await queue.enqueue("sh", "-c", "[ $EVQ_ATTEMPT = 2 ] || exec sleep 60", losses=0)
    await queue.event(task, Started)
    other = start_agent([queue]).ready()
    agent.terminate()
    await queue.agent_event(agent.name, AgentDraining)
    agent.terminate()
    assert await agent.over() == 0
    lost = await queue.event(task, Lost)
    assert (lost.cause, lost.why) == (Cause.DRAINED, "its agent was stopped")
    ended = await queue.ended(task)
    assert [attempt.agent for attempt in ended.attempts] == [agent.name, other.name]
    # A budget of no losses at all: to be given back does not count.
    assert ended.name_of_state == "completed" and ended.losses == 0


async def test_an_agent_without_work_ends_at_once(queue, start_agent):
    agent = start_agent([queue]).ready()
    up = await queue.agent_event(agent.name, AgentUp)
    assert (up.pid, up.queues, up.slots) == (agent.process.pid, (queue.name,), 1)
    agent.terminate()
    assert await agent.over() == 0
    assert (await queue.agent_event(agent.name, AgentDown)).instance == up.instance


async def test_its_folders_are_tidy_afterwards(queue, start_agent):
    agent = start_agent([queue]).ready()
    await queue.run("sh", "-c", "mkdir -p deep/er; touch deep/er/file; chmod 0 deep/er")
    agent.terminate()
    assert await agent.over() == 0
    home = agent.folder / "state" / "agents" / agent.name
    left = {path.name for path in home.iterdir()} - {
        "home",
        "lock",
        "runs",
        "sdk",
        "results",
        "work",
    }
    assert left == set() and not list((home / "results").iterdir())


async def test_a_name_belongs_to_one_agent(queue, start_agent):
    first = start_agent([queue]).ready()
    second = start_agent([queue], name=first.name)
    assert await second.over() == Conflict.exit_code
    assert f"error[E04]: an agent named {first.name} is running" in second.said
    assert f"process {first.process.pid}, up since 20" in second.said
    assert "choose another --name" in second.said and "Traceback" not in second.said
    assert (await queue.run("true")).attempts[0].agent == first.name


async def test_without_a_name_the_host_lends_its_own(queue, start_agent):
    agents = [start_agent([queue], name=None).ready() for _ in range(2)]
    names = {agent.pid: agent.agent for agent in await queue.client.agents()}
    host = host_name()
    assert [names[agent.process.pid] for agent in agents] == [host, f"{host}-2"]


async def test_a_claim_is_named_where_the_agent_says_that_it_lives(queue, gate, start_agent, until):
    agent = start_agent([queue], "--lease", "300").ready()
    task = await queue.enqueue("sh", "-c", gate.wait)
    await gate.reached()
    claim = (await queue.client.get(task)).live.claim

    async def named():
        return (await present(queue.client, agent.name)).claims == (claim,)

    await until(named)
    gate.open()
    await queue.ended(task)


@pytest.mark.parametrize("slots", [1, 4])
async def test_an_idle_agent_only_says_that_it_lives(
    apart, own_nats_server, start_agent, until, slots
):
    # What it tells of its machine comes on top, in a rhythm of its own.
    options = ("--lease", "2", "--slots", str(slots), "--report-every", "0")
    start_agent([apart], *options, login=own_nats_server.login).ready()
    await apart.run("true")
    heard = []

    async def note(message):
        heard.append(message)

    nats = apart.client.bus.client
    await nats.subscribe(">", cb=note)
    await nats.flush()

    def is_renewal(message):
        return message.subject.startswith("$KV.evq-agents.")

    def since_it_is_idle():
        """All after the last word that is neither a renewal nor an answer to one."""
        quiet = ("$KV.evq-agents.", "_INBOX.", "$JS.EVENT.")
        others = [n for n, m in enumerate(heard, 1) if not m.subject.startswith(quiet)]
        return heard[max(others, default=0) :]

    # Each time two words: that it lives, and that the name is its own.
    await until(lambda: sum(map(is_renewal, since_it_is_idle())) >= 8)
    idle = since_it_is_idle()
    # What comes in unasked: once in half a minute the pull that waits runs out.
    asked = {message.reply for message in heard}
    inbox = [m.subject for m in idle if m.subject.startswith("_INBOX.")]
    assert len([subject for subject in inbox if subject not in asked]) <= 1


async def test_the_claim_event_tells_who_has_it(queue, start_agent):
    agent = start_agent([queue]).ready()
    up = await queue.agent_event(agent.name, AgentUp)
    task = await queue.run("true")
    claimed = await queue.event(task.id, Claimed)
    assert (claimed.agent, claimed.instance) == (agent.name, up.instance)
    assert claimed.hint == task.origin and claimed.lease == 10.0


async def test_an_agent_that_was_killed_is_lost_as_soon_as_another_notices(
    apart, own_nats_server, start_agent
):
    # On the shared server it would look after all that were killed before, one after the other.
    login = own_nats_server.login
    killed = start_agent([apart], "--lease", "0.5", login=login).ready()
    start_agent([apart], "--lease", "0.5", login=login).ready()
    up = await apart.agent_event(killed.name, AgentUp)
    killed.process.kill()
    lost = await apart.agent_event(killed.name, AgentLost)
    assert lost.instance == up.instance


async def test_an_agent_that_is_taken_for_lost_says_that_it_lives(start_agent, queue):
    agent = start_agent([queue]).ready()
    up = await queue.agent_event(agent.name, AgentUp)
    envelope = queue.client.author.envelope(AgentLost(agent.name, up.instance, "a mistake"))
    entry = Entry(agent_events(agent.name), encode(envelope), envelope.id)
    await queue.client.bus.log.append(entry)
    assert await queue.agent_event(agent.name, AgentUp, 2) == up
