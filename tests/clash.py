"""A session whose first port is taken by somebody who was quicker, between its agent and itself."""

from __future__ import annotations

from msgspec.structs import replace

from evq.core.spec import Inline, Module, Spec

QUICKER = """\
import socket, sys
import evq_carrying, evq_session
ask, others = evq_carrying.ask, []
def quicker(words):
    answer = ask(words)
    if not others:
        others.append(socket.create_server(("127.0.0.1", answer["port"])))
        print(f"somebody else has {answer['port']}", flush=True)
    else:
        print(f"it is given {answer['port']}", flush=True)
    return answer
evq_carrying.ask = quicker
sys.argv[1:] = ARGUMENTS
evq_session.main()
"""


def clashing(session: Spec) -> Spec:
    """The session, with a listener of somebody else at the port that it is given first."""
    assert isinstance(session.entry, Module)
    code = QUICKER.replace("ARGUMENTS", repr(list(session.entry.args)))
    return replace(session, entry=Inline(code))
