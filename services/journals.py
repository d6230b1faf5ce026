"""The journals of all services of a kind: one of them, one that there is, or all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from ..core.errors import Conflict, NotFound
from ..core.journal import F, Noted
from ..core.sdk.client import Client
from ..core.sdk.journal import Journal, journals


class Definable(Protocol):
    """The state of a service, which is there as long as it has a definition."""

    @property
    def definition(self) -> object | None: ...


S = TypeVar("S", bound=Definable)


class Journals(Generic[S, F]):
    """Those of one kind of service; see `Journal`. `service` is also the verb that people use."""

    def __init__(
        self, service: str, *, facts: Any, start: S, evolve: Callable[[S, Noted[F]], S]
    ) -> None:
        self._service = service
        self._facts, self._start, self._evolve = facts, start, evolve

    def open(self, client: Client, name: str) -> Journal[S, F]:
        """The journal of this name, still unread."""
        return Journal(
            client, self._service, name, facts=self._facts, start=self._start, evolve=self._evolve
        )

    async def load(self, client: Client, name: str) -> Journal[S, F]:
        """The journal of a service that there is. Raises `NotFound`."""
        journal = self.open(client, name)
        await journal.load()
        if journal.state.definition is None:
            raise NotFound(f"there is no {self._service} {name}", fix=f"evq {self._service} ls")
        return journal

    async def say(self, client: Client, name: str, fact: F, words: str) -> S:
        """Write down what somebody wants of a service that there is; its state then. Raises
        `NotFound`."""
        journal = await self.load(client, name)
        await journal.decide(lambda _: (fact, words))
        return journal.state

    async def define(
        self, client: Client, name: str, fact: F, words: str, *, taken: Callable[[S], str] | None
    ) -> S:
        """Write down how a service is defined; its state then.

        With `taken`, which says what it is like, it must not be there yet. Raises `Conflict`.
        """
        journal = self.open(client, name)
        await journal.load()

        def choose(state: S) -> tuple[F, str]:
            if taken and state.definition:
                raise Conflict(
                    f"there is a {self._service} {name} already",
                    why=taken(state),
                    fix=f"--replace, or evq {self._service} remove {name}",
                )
            return fact, words

        await journal.decide(choose)
        return journal.state

    async def look(self, client: Client, name: str) -> tuple[S, list[Noted[F]]]:
        """The state of a service that there is, and all that was decided about it. Raises
        `NotFound`."""
        state = (await self.load(client, name)).state
        return state, await self.open(client, name).catch_up()

    async def all(self, client: Client) -> dict[str, S]:
        """The states of the services that there are, by their names."""
        found = {}
        for name in await journals(client, self._service):
            journal = self.open(client, name)
            await journal.load()
            if journal.state.definition:
                found[name] = journal.state
        return found
