"""When a task that begins now may make another wait longer, and which agent keeps room for it."""

from hypothesis import given
from hypothesis import strategies as st

from evq.agent.taking.reservation import nearest, only_waits_for_slot
from evq.core.fleet.presence import AgentPresence
from evq.core.fleet.resources import Device, Offer, Request, delays
from evq.core.subjects import Level

GIB = 2**30

requests = st.builds(
    Request,
    gpus=st.integers(0, 4),
    cpus=st.none() | st.integers(1, 8).map(float),
    memory=st.none() | st.integers(1, 8).map(lambda size: size * GIB),
)


def devices(count: int) -> tuple[Device, ...]:
    return tuple(Device(id=f"GPU-{n}", index=n, memory=1, free_memory=1) for n in range(count))


offers = st.builds(
    Offer,
    slots=st.integers(0, 6),
    cpus=st.integers(0, 8).map(float),
    memory=st.integers(0, 8).map(lambda size: size * GIB),
    devices=st.integers(0, 4).map(devices),
)


def beside(request: Request, rest: Offer) -> Offer:
    """What is free if the request fits, and the rest beside it."""
    return Offer(
        slots=rest.slots + 1,
        cpus=rest.cpus + (request.cpus or 0),
        memory=rest.memory + (request.memory or 0),
        devices=devices(len(rest.devices) + request.gpus),
    )


def missing(request: Request, offer: Offer) -> dict[str, float]:
    """How much is missing of what."""
    gaps = {
        "slots": 1 - offer.slots,
        "cpus": (request.cpus or 0) - offer.cpus,
        "memory": (request.memory or 0) - offer.memory,
        "gpus": request.gpus - len(offer.devices),
    }
    return {name: gap for name, gap in gaps.items() if gap > 0}


@given(requests, requests, offers)
def test_what_may_begin_leaves_nothing_more_missing(request, wanted, rest):
    free = beside(request, rest)
    if not delays(request, wanted, free):
        assert missing(wanted, rest) == missing(wanted, free)


@given(requests, requests, offers)
def test_what_leaves_enough_for_the_wanted_may_begin(request, wanted, rest):
    if not missing(wanted, rest):
        assert not delays(request, wanted, beside(request, rest))


def test_only_a_slot():
    free = Offer(slots=0, cpus=2)
    assert only_waits_for_slot(Request(cpus=2), free)
    assert not only_waits_for_slot(Request(cpus=3), free)


def presence(name: str, free: Offer, **more) -> AgentPresence:
    offer = Offer(slots=8, cpus=8, labels=more.pop("labels", {}))
    facts = {"instance": name, "host": "h", "pid": 1, "queues": ("a",), "order": "", "slots": 8}
    return AgentPresence(**{"agent": name, "offer": offer, "free": free, **facts, **more})


def test_the_nearest_agent_keeps_the_room():
    agents = {
        "far": presence("far", Offer(slots=4, cpus=1)),
        "near": presence("near", Offer(slots=4, cpus=6)),
        "never": presence("never", Offer(slots=4, cpus=7), offer=Offer(slots=8, cpus=7)),
        "elsewhere": presence("elsewhere", Offer(slots=8, cpus=8), queues=("b",)),
        "drained": presence("drained", Offer(slots=8, cpus=8), draining=True),
        "reserved": presence("reserved", Offer(slots=8, cpus=7), reserved="task x"),
    }
    assert nearest(Level("a", 5, Request(cpus=8).size), agents) == "near"
    assert nearest(Level("a", 5, Request(cpus=9).size), agents) is None
    assert nearest(Level("a", 5, Request(labels={"x": "y"}).size), agents) is None
    assert nearest(Level("b", 5, Request(cpus=8).size), agents) == "elsewhere"
