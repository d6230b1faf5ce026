"""`evq completion`, and what it offers for queues and tasks.

A person who pressed TAB waits: what takes longer than the budget, or fails, offers nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click

from ..core.errors import UsageError
from .options import COMPLETE

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from ..core.sdk.client import Client

BUDGET_SECONDS = 0.3
OFFERED = 50

_INSTALL = {
    "bash": 'add to ~/.bashrc:   eval "$(evq completion bash)"',
    "zsh": 'add to ~/.zshrc:   eval "$(evq completion zsh)"',
    "fish": "evq completion fish > ~/.config/fish/completions/evq.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(list(_INSTALL)))
def completion(shell: str) -> None:
    """Print what makes a shell complete evq's verbs, options, queues and tasks.

    \b
    Examples:
      eval "$(evq completion bash)"       in ~/.bashrc
      eval "$(evq completion zsh)"        in ~/.zshrc
      evq completion fish > ~/.config/fish/completions/evq.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise UsageError(f"there is no completion for {shell}", fix="evq completion bash")
    group = click.get_current_context().find_root().command
    click.echo(kind(group, {}, "evq", COMPLETE).source())
    click.echo(f"# {_INSTALL[shell]}")


def complete_queue(
    ctx: click.Context, param: click.Parameter | None, incomplete: str
) -> list[CompletionItem]:
    """The queues there are."""

    async def ask(client: Client) -> dict[str, str]:
        return dict.fromkeys(sorted({level.queue for level in await client.bus.hints.levels()}), "")

    return _offer(_within_budget(ask), incomplete)


def complete_task(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The tasks enqueued here, and the newest ones of everybody."""
    from ..core.questions import Named

    async def ask(client: Client) -> dict[str, str]:
        question = Named("tasks", {"limit": OFFERED})
        rows = [row async for row in client.rows(question)]
        return {str(row["task"]): f"{row.get('state')} {row.get('name')}" for row in rows}

    return _offer(dict.fromkeys(_enqueued_here(), "") | _within_budget(ask), incomplete)


def _offer(found: dict[str, str], incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    fitting = [name for name in found if name.startswith(incomplete)]
    return [CompletionItem(name, help=found[name] or None) for name in fitting[:OFFERED]]


def _enqueued_here() -> list[str]:
    from .calling import settings
    from .tasks.recent import recent

    try:
        return recent(settings().server or "")[:OFFERED]
    except Exception:
        return []


def _within_budget(ask: Callable[[Client], Awaitable[dict[str, str]]]) -> dict[str, str]:
    import asyncio

    from .calling import call

    async def hurried(client: Client) -> dict[str, str]:
        async with asyncio.timeout(BUDGET_SECONDS):
            return await ask(client)

    try:
        return call(hurried, patience=BUDGET_SECONDS)
    except Exception:
        # An error message would land in the middle of the line that is being typed.
        return {}


def complete_agent(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The agents that are there."""

    async def ask(client: Client) -> dict[str, str]:
        return {one.agent: one.host for one in await client.agents()}

    return _offer(_within_budget(ask), incomplete)


def complete_query(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The queries that have a name, and behind one what it takes."""
    from ..core.sdk.saved import all_queries

    asked = next((word for word in ctx.params.get("words") or () if word.startswith("@")), "")

    async def ask(client: Client) -> dict[str, str]:
        found = [query for query in await all_queries(client) if query.is_listed]
        named = {f"@{query.name}": query for query in found}
        if query := named.get(asked.replace("_", "-")):
            return {f"{one.name}=": one.meaning for one in query.parameters}
        return {name: query.meaning for name, query in named.items()}

    return _offer(_within_budget(ask), incomplete)
