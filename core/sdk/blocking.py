"""The client for programs without an event loop of their own: the same methods, none awaited.

    with evq.connect_blocking() as client:
        for event in client.watch():
            print(event)

Each method of `Client` has one line here, which mypy and editors read as the method itself.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, Concatenate, ParamSpec, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from .client import Client
from .connect import PATIENCE, connect

P = ParamSpec("P")
T = TypeVar("T")


def _waiting(
    method: Callable[Concatenate[Client, P], Awaitable[T]],
) -> Callable[Concatenate[BlockingClient, P], T]:
    def blocking(client: BlockingClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return client.run(lambda inner: method(inner, *args, **kwargs))

    return _named(method, blocking)


def _iterating(
    method: Callable[Concatenate[Client, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate[BlockingClient, P], Iterator[T]]:
    def blocking(client: BlockingClient, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return client.iterate(method(client._client, *args, **kwargs))

    return _named(method, blocking)


def _named(method: Callable[..., Any], blocking: Callable[P, T]) -> Callable[P, T]:
    # Not `functools.wraps`: its `__wrapped__` would tell `inspect` of the asynchronous one.
    blocking.__name__, blocking.__doc__ = method.__name__, method.__doc__
    blocking.__qualname__ = f"BlockingClient.{method.__name__}"
    return blocking


class BlockingClient:
    """`Client` for programs that do not await; `connect_blocking` makes one."""

    def __init__(self, client: Client, portal: BlockingPortal) -> None:
        self._client = client
        self._portal = portal

    def run(self, call: Callable[[Client], Awaitable[T]]) -> T:
        """Wait for what `call` awaits, which is given the client that is awaited."""
        return self._wait(lambda: call(self._client))

    def _wait(self, call: Callable[[], Awaitable[T]]) -> T:
        future: Future[T] = self._portal.start_task_soon(call)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # ^C ends the wait, and with it what is waited for
            raise

    def iterate(self, items: AsyncGenerator[T, None]) -> Iterator[T]:
        """Items as they come."""
        try:
            while True:
                yield self._wait(items.__anext__)
        except StopAsyncIteration:
            return
        except GeneratorExit:
            with suppress(RuntimeError):  # the block is over, and the loop ended with it
                self._wait(items.aclose)
            raise

    enqueue = _waiting(Client.enqueue)
    enqueue_many = _waiting(Client.enqueue_many)
    enqueue_array = _waiting(Client.enqueue_array)
    members = _waiting(Client.members)
    submit = _waiting(Client.submit)
    get = _waiting(Client.get)
    tasks = _waiting(Client.tasks)
    wait = _waiting(Client.wait)
    logs = _iterating(Client.logs)
    metrics = _waiting(Client.metrics)
    clone = _waiting(Client.clone)
    put = _waiting(Client.put)
    sql = _waiting(Client.sql)
    resolve = _waiting(Client.resolve)
    abort = _waiting(Client.abort)
    retry = _waiting(Client.retry)
    move = _waiting(Client.move)
    dequeue = _waiting(Client.dequeue)
    tunnel = _waiting(Client.tunnel)
    artifacts = _waiting(Client.artifacts)
    load = _waiting(Client.load)
    tag = _waiting(Client.tag)
    archive = _waiting(Client.archive)
    unarchive = _waiting(Client.unarchive)
    agents = _waiting(Client.agents)
    is_agent = _waiting(Client.is_agent)
    order = _waiting(Client.order)
    queue = _waiting(Client.queue)
    queues = _waiting(Client.queues)
    queue_names = _waiting(Client.queue_names)
    change_queue = _waiting(Client.change_queue)
    tally = _waiting(Client.tally)
    limit_queue = _waiting(Client.limit_queue)
    start_service = _waiting(Client.start_service)
    stop_service = _waiting(Client.stop_service)
    service = _waiting(Client.service)
    services = _waiting(Client.services)
    parts = _iterating(Client.parts)
    answer = _iterating(Client.answer)
    projected = _waiting(Client.projected)
    rows = _iterating(Client.rows)
    watch = _iterating(Client.watch)
    watch_metrics = _iterating(Client.watch_metrics)


@contextmanager
def connect_blocking(
    server: str | None = None,
    *,
    context: str | None = None,
    token: str | None = None,
    creds: str | None = None,
    store: str | None = None,
    patience: float = PATIENCE,
) -> Iterator[BlockingClient]:
    """`connect` for programs that do not await: a loop of its own runs in a thread.

    It also works where a loop runs already, as in a notebook. Raises as `connect` does.
    """
    opened = connect(
        server, context=context, token=token, creds=creds, store=store, patience=patience
    )
    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(opened) as client,
    ):
        yield BlockingClient(client, portal)
