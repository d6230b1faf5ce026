"""`evq`: finds the verb, runs it, and says in one layout what went wrong.

Everything else is loaded by the verb that needs it: the whole of `evq --help` is this file.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from ..core.errors import EvqError, UsageError
from . import failure
from .options import COMPLETE, THIS_RUN, global_options
from .verbs import MEANINGS, OTHER_WORDS, PLACES, SECTIONS

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class LazyGroup(click.Group):
    """A group that loads a verb's module when the verb is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(PLACES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in PLACES:
            return None
        module, _, name = PLACES[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(f".{module}", __package__), name)
        if not any(parameter.name == "debug" for parameter in command.params):
            command.params += global_options(hidden=True)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] in PLACES or args[0].startswith("-"):
            return super().resolve_command(ctx, args)
        raise unknown_verb(args[0])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, verbs in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<10}", text) for name, (_, text) in verbs.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        found = [name for name in PLACES if name.startswith(incomplete)]
        verbs = [CompletionItem(name, help=MEANINGS[name]) for name in found]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)


def unknown_verb(word: str) -> UsageError:
    """The error for a verb that does not exist, with the one that was probably meant."""
    import difflib

    near = [OTHER_WORDS[word]] if word in OTHER_WORDS else []
    near = near or difflib.get_close_matches(word, PLACES, n=1)
    return UsageError(
        f"there is no verb {word!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
        fix=f"evq {near[0]} --help" if near else "evq --help lists all verbs",
    )


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"evq {version('evq')}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    params=global_options(hidden=False),
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="`evq VERB --help` has examples. Begin with: evq up -d, then evq run SCRIPT.",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Print evq's version.",
)
def cli() -> None:
    """A task queue for machine learning: your code, as it is now, on any machine."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and end the process with its exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        status = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:
        failure.silence()
        status = failure.BROKEN_PIPE
    except (KeyboardInterrupt, click.Abort):
        status = failure.INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        status = error.exit_code
    except click.ClickException as error:
        status = _fail(failure.from_click(error), words, error)
    except EvqError as error:
        status = _fail(error, words, error)
    except Exception as error:
        status = _fail(failure.unforeseen(error), words, error)
    sys.exit(status if isinstance(status, int) else 0)


def _run(words: list[str]) -> object:
    if COMPLETE in os.environ:
        return cli.main(words, prog_name="evq", complete_var=COMPLETE)
    # Not `cli.main`: it ends the process itself, with 1, when nobody reads our output.
    try:
        with cli.make_context("evq", list(words)) as ctx:
            return cli.invoke(ctx)
    except click.exceptions.Exit as end:
        return end.exit_code


def _fail(error: EvqError, words: list[str], cause: Exception) -> int:
    if THIS_RUN.debug:
        import traceback

        traceback.print_exception(cause)
    failure.show(error, as_json=failure.wants_json(words))
    return error.exit_code


if __name__ == "__main__":
    main()
