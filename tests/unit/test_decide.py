"""Every state and every command: what happens, or who is told no."""

from __future__ import annotations

import msgspec
import pytest

from evq.core import decide as commands
from evq.core import events, state
from evq.core.decide import ClaimLost, Holder, Rejected, TooSoon, decide
from evq.core.events import Cause, Outcome
from evq.core.evolve import create, fold
from evq.core.retry import LONGEST_DELAY, delay_after
from evq.core.spec import After, Code, Command, Spec
from evq.core.state import Task
from evq.core.wire import Unknown

HOLDER = Holder("i1", 1)
CLAIM = commands.Claim("w1", "i1", 0, 1, 10.0)
ENVIRONMENT = state.EnvironmentRecord("uv", "3.12", "k", (events.Package("numpy", "2.0"),))

CLAIMED = events.Claimed(attempt=1, agent="w1", instance="i1", slot=0, hint=1, lease=10.0)
LAUNCH = events.Launch(9, 7, ("a",), "h", "/f")
STARTED = events.Started(attempt=1, pid=7, argv=("a",), host="h", folder="/f")
WISH = events.AbortRequested("enough")


def finished(outcome: Outcome) -> events.Finished:
    return events.Finished(attempt=1, outcome=outcome)


HISTORIES: dict[str, list[events.Lifecycle | Unknown]] = {
    "held": [],
    "queued": [],
    "claimed": [CLAIMED],
    "running": [CLAIMED, STARTED],
    "aborting": [CLAIMED, STARTED, WISH],
    "completed": [CLAIMED, STARTED, finished(Outcome.COMPLETED)],
    "failed": [CLAIMED, STARTED, finished(Outcome.FAILED)],
    "timed_out": [CLAIMED, STARTED, finished(Outcome.TIMED_OUT)],
    "aborted": [events.Aborted("never mind")],
    "unknown": [CLAIMED, Unknown("i", 1, "b", "paused", 1)],
}


def task_in(name: str, retries: int = 0, losses: int = 3) -> Task:
    after = (After("t0"),) if name == "held" else ()
    spec = Spec(
        entry=Command(("true",)),
        name="t",
        queue="q",
        retries=retries,
        losses=losses,
        after=after,
        code=Code("s", ("base-s",)),
    )
    history = enumerate(HISTORIES[name], 2)
    return fold(
        create(1, 100, "me", events.Enqueued("t1", spec)),
        [(seq, 100 + seq, "w1", event) for seq, event in history],
    )


def finish(outcome: Outcome, cause: Cause | None = None) -> commands.Finish:
    return commands.Finish(HOLDER, outcome, 1, cause, "seen", events.Usage(1.0))


def test_a_retry_is_claimed_by_one_who_knows_that_its_delay_is_over() -> None:
    task = task_in("claimed", retries=1)
    retry = decide(task, finish(Outcome.FAILED, Cause.CODE))
    assert isinstance(retry, events.Retry) and retry.delay > 0
    waits = fold(task, [(9, 1, "w1", retry)])
    for waited in (0, 8):
        with pytest.raises(TooSoon):
            decide(waits, msgspec.structs.replace(CLAIM, waited=waited))
    again = decide(waits, msgspec.structs.replace(CLAIM, waited=9))
    assert isinstance(again, events.Claimed) and again.attempt == 2


def test_what_would_end_the_same_way_is_not_tried_again() -> None:
    end = msgspec.structs.replace(finish(Outcome.FAILED, Cause.ENVIRONMENT), final=True)
    assert isinstance(decide(task_in("claimed", retries=3), end), events.Finished)
    again = msgspec.structs.replace(end, final=False)
    assert isinstance(decide(task_in("claimed", retries=3), again), events.Retry)


COMMANDS: dict[str, commands.Command] = {
    "claim": CLAIM,
    "begin": commands.BeginPhase(HOLDER, "code"),
    "end": commands.EndPhase(HOLDER, "code", 0.5, True, "d"),
    "tell": commands.TellEnvironment(HOLDER, ENVIRONMENT),
    "save": commands.SaveArtifact(HOLDER, "model.pt", "0" * 64, 7, False, "nats"),
    "start": commands.Start(HOLDER, LAUNCH),
    "complete": finish(Outcome.COMPLETED),
    "fail": finish(Outcome.FAILED, Cause.CODE),
    "time_out": finish(Outcome.TIMED_OUT, Cause.TIME),
    "finish_aborted": finish(Outcome.ABORTED, Cause.ABORT),
    "give_back": commands.GiveBack(HOLDER, "drain"),
    "declare_lost": commands.DeclareLost(1, "silent"),
    "abort": commands.Abort("stop"),
    "requeue": commands.Requeue("again"),
    "await": commands.Await(("t2",)),
    "hear": commands.EndDependencies((events.DependencyEnd("t0", Outcome.COMPLETED),)),
    "assemble": commands.Assemble("10.0.0.1", 29500),
    "disband": commands.Disband(1, "rank 1 failed", Outcome.FAILED, False, 0.0, None),
    "move": commands.Move("other", 7, 0.5, "urgent"),
    "dequeue": commands.Dequeue("not now"),
    "release": commands.Release(),
    "tag": commands.Tag(("paper",), ()),
    "archive": commands.Archive("done with"),
    "unarchive": commands.Unarchive("not yet"),
    "clean": commands.Clean(what=("logs", "code"), reason="old", before=2**60),
}

# no: rejected; zombie: the claim is lost; else the event's kind, or the outcome it finishes with.
TABLE = """
                held     queued   claimed          running          aborting   ended
claim           no       claimed  no               no               no         no
begin           zombie   zombie   phase            phase            phase      zombie
end             zombie   zombie   phase            phase            phase      zombie
tell            zombie   zombie   environment      environment      environment zombie
save            zombie   zombie   artifact         artifact         artifact   zombie
start           zombie   zombie   started          no               no         zombie
complete        zombie   zombie   completed        completed        completed  zombie
fail            zombie   zombie   failed           failed           aborted    zombie
time_out        zombie   zombie   timed_out        timed_out        aborted    zombie
finish_aborted  zombie   zombie   aborted          aborted          aborted    zombie
give_back       zombie   zombie   lost             lost             aborted    zombie
declare_lost    no       no       lost             lost             aborted    no
abort           ends     ends     abort_requested  abort_requested  no         no
requeue         no       no       no               no               no         requeued
await           awaited  awaited  awaited          awaited          awaited    no
hear            dependencies_ended no no            no               no         no
move            no       moved    no               no               no         no
assemble        no       no       no               no               no         no
disband         no       disbanded disbanded       disbanded        disbanded  no
dequeue         no       dequeued no               no               no         no
release         no       no       no               no               no         no
tag             tagged   tagged   tagged           tagged           tagged     tagged
archive         no       no       no               no               no         archived
unarchive       no       no       no               no               no         no
clean           no       no       no               no               no         cleaned
"""


def cells() -> list[tuple[str, str, str]]:
    head, *rows = (line.split() for line in TABLE.strip().splitlines())
    found = []
    for command, *answers in rows:
        for column, answer in zip(head, answers, strict=True):
            ends = ("completed", "failed", "timed_out", "aborted")
            for name in ends if column == "ended" else (column,):
                found.append((name, command, answer))
    return found


def answer_to(task: Task, command: commands.Command) -> str:
    try:
        event = decide(task, command)
    except ClaimLost:
        return "zombie"
    except Rejected:
        return "no"
    if isinstance(event, events.Finished):
        return event.outcome.value
    kind = str(event.__struct_config__.tag)
    return "ends" if kind == "aborted" else kind


@pytest.mark.parametrize(("name", "command", "answer"), cells())
def test_every_state_and_every_command(name: str, command: str, answer: str) -> None:
    assert answer_to(task_in(name), COMMANDS[command]) == answer


def test_the_table_has_every_command() -> None:
    listed = {type(command) for command in COMMANDS.values()}
    assert listed == set(commands.Command.__args__)
    assert {command for _, command, _ in cells()} == COMMANDS.keys()


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_is_decided_over_events_that_are_not_understood(command: str) -> None:
    with pytest.raises(Rejected, match="newer") as caught:
        decide(task_in("unknown"), COMMANDS[command])
    assert "upgrade" in caught.value.fix


@pytest.mark.parametrize("holder", [Holder("i2", 1), Holder("i1", 2), Holder("i1", 0)])
@pytest.mark.parametrize("name", ["claimed", "running", "aborting"])
@pytest.mark.parametrize("command", [c for c in COMMANDS if hasattr(COMMANDS[c], "holder")])
def test_only_the_holder_speaks(name: str, command: str, holder: Holder) -> None:
    words = msgspec.structs.replace(COMMANDS[command], holder=holder)
    with pytest.raises(ClaimLost):
        decide(task_in(name), words)


def test_an_attempt_is_declared_lost_by_its_number() -> None:
    with pytest.raises(Rejected):
        decide(task_in("running"), commands.DeclareLost(2, "silent"))


def test_attempts_are_numbered_on() -> None:
    task = task_in("failed")
    task = fold(task, [(9, 9, "me", events.Requeued("again"))])
    event = decide(task, msgspec.structs.replace(CLAIM, hint=10))
    assert isinstance(event, events.Claimed) and event.attempt == 2


@pytest.mark.parametrize("change", [commands.Move("other", 7, 0.5, "r"), commands.Requeue("r")])
def test_a_stale_hint_leads_to_no_claim(change: commands.Command) -> None:
    task = task_in("queued" if isinstance(change, commands.Move) else "failed")
    task = fold(task, [(9, 9, "me", decide(task, change))])
    for hint in (1, 9):
        with pytest.raises(Rejected, match="stale"):
            decide(task, msgspec.structs.replace(CLAIM, hint=hint))
    assert isinstance(decide(task, msgspec.structs.replace(CLAIM, hint=10)), events.Claimed)


def test_a_move_does_not_shorten_the_delay_after_a_failure() -> None:
    task = task_in("claimed", retries=1)
    task = fold(task, [(9, 1, "w1", decide(task, finish(Outcome.FAILED, Cause.CODE)))])
    task = fold(task, [(12, 1, "me", decide(task, commands.Move("q", 5, 0.5, "r")))])
    claim = msgspec.structs.replace(CLAIM, hint=13)
    with pytest.raises(TooSoon):
        decide(task, msgspec.structs.replace(claim, waited=12))
    assert isinstance(decide(task, msgspec.structs.replace(claim, waited=9)), events.Claimed)


# --- budgets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.TIMED_OUT])
def test_a_failure_is_tried_again_as_often_as_was_asked(outcome: Outcome) -> None:
    task = task_in("queued", retries=2)
    delays = []
    for number in (1, 2, 3):
        holder = Holder("i1", number)
        claimed = msgspec.structs.replace(CLAIMED, attempt=number)
        task = fold(task, [(task.seq + 2, 1, "w1", claimed)])
        event = decide(task, commands.Finish(holder, outcome, 1, Cause.CODE, "seen"))
        task = fold(task, [(task.seq + 1, 1, "w1", event)])
        if isinstance(event, events.Retry):
            assert (event.outcome, event.cause, event.evidence) == (outcome, Cause.CODE, "seen")
            delays.append(event.delay)
    assert delays == [delay_after(1), delay_after(2)]
    assert task.name_of_state == outcome.value


def test_other_outcomes_are_not_tried_again() -> None:
    task = task_in("running", retries=5)
    for outcome in (Outcome.COMPLETED, Outcome.ABORTED):
        assert answer_to(task, finish(outcome)) == outcome.value


def test_an_abort_spares_the_retries() -> None:
    assert answer_to(task_in("aborting", retries=5), finish(Outcome.FAILED)) == "aborted"


def test_a_task_that_completed_although_it_was_to_be_aborted_has_completed() -> None:
    assert answer_to(task_in("aborting"), finish(Outcome.COMPLETED)) == "completed"


def test_lost_attempts_have_a_budget_of_their_own() -> None:
    running = task_in("running", retries=0, losses=1)
    assert answer_to(running, commands.DeclareLost(1, "silent")) == "lost"
    spent = msgspec.structs.replace(running, losses=1)
    event = decide(spent, commands.DeclareLost(1, "silent"))
    assert isinstance(event, events.Finished)
    assert (event.outcome, event.cause) == (Outcome.FAILED, Cause.LOST_AGENT)
    assert "2 times" in event.evidence and "silent" in event.evidence
    assert answer_to(spent, commands.GiveBack(HOLDER, "drain")) == "lost"


def test_what_the_agent_could_not_do_costs_a_loss_not_a_retry() -> None:
    broken = finish(Outcome.FAILED, Cause.INFRASTRUCTURE)
    event = decide(task_in("running", retries=1, losses=1), broken)
    assert isinstance(event, events.Lost) and event.cause is Cause.INFRASTRUCTURE
    assert answer_to(task_in("running", retries=1, losses=0), broken) == "failed"
    assert answer_to(task_in("aborting", losses=1), broken) == "aborted"


def test_delays_grow_to_a_minute() -> None:
    delays = [delay_after(failures) for failures in range(1, 200)]
    assert delays[:4] == [1.0, 2.0, 4.0, 8.0]
    assert delays == sorted(delays) and delays[-1] == LONGEST_DELAY


# --- words ------------------------------------------------------------------------------------


def test_an_aborted_task_says_who_wanted_it() -> None:
    event = decide(task_in("aborting"), finish(Outcome.FAILED, Cause.SIGNAL))
    assert isinstance(event, events.Finished)
    assert (event.cause, event.evidence) == (Cause.ABORT, "enough")
    assert (event.exit_code, event.usage) == (1, events.Usage(1.0))
    for command in (COMMANDS["declare_lost"], COMMANDS["give_back"]):
        event = decide(task_in("aborting"), command)
        assert isinstance(event, events.Finished) and event.evidence.startswith("enough; then ")


@pytest.mark.parametrize(
    ("name", "command", "words"),
    [
        ("running", "claim", "held by agent w1"),
        ("completed", "claim", "has completed"),
        ("completed", "abort", "it completed"),
        ("failed", "abort", "it failed"),
        ("aborted", "abort", "it was aborted"),
        ("timed_out", "abort", "it ran out of time"),
        ("aborting", "abort", "being aborted already"),
        ("running", "requeue", "it is running"),
        ("running", "start", "has started already"),
    ],
)
def test_a_refusal_says_why(name: str, command: str, words: str) -> None:
    with pytest.raises(Rejected) as caught:
        decide(task_in(name), COMMANDS[command])
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["claimed", "running"])
def test_an_end_tells_of_the_start_only_if_the_log_does_not_have_it(name: str) -> None:
    task = task_in(name)
    assert task.live
    finish = commands.Finish(HOLDER, Outcome.COMPLETED, 0, launch=LAUNCH)
    event = decide(task, finish)
    assert isinstance(event, events.Finished)
    assert event.launch == (None if task.live.launch else LAUNCH)
