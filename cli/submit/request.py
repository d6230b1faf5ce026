"""What the command line asks to be run, made into a task's spec."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ...core import units
from ...core.errors import UsageError
from ...core.sdk.author import host_name, user_name
from ...core.sdk.reading import read_text
from ...core.sdk.request import check_script, default_name, script_entry, with_parameters
from ...core.spec import (
    Command,
    Container,
    Entry,
    Inline,
    Limits,
    Module,
    Repo,
    Spec,
)
from .wish import Wish


def make_entry(wish: Wish, cwd: Path) -> Entry:
    """What to run. A script's path is still relative to `cwd`, or to the top of a remote."""
    if wish.inline is not None:
        if wish.module or wish.script:
            raise _stray(wish.module or wish.script[0], "-c CODE", wish.script)
        return Inline(wish.inline, wish.rest or ())
    if wish.module:
        if wish.script:
            raise _stray(wish.script[0], f"-m {wish.module}", wish.script)
        return Module(wish.module, wish.rest or ())
    if not wish.script:
        if not wish.rest:
            raise UsageError(
                "there is nothing to run",
                why="name a script, a module (-m), or a command after --",
                fix="evq enqueue train.py -- --lr 0.1",
            )
        return Command(wish.rest)
    script, *others = wish.script
    if not wish.repo:
        check_script(script, others, cwd)
    if others:
        raise _stray(others[0], script, others)
    return script_entry(script, wish.rest or ())


def _remote(wish: Wish) -> Repo | None:
    """The remote whose code runs, if one is named. Raises `UsageError`."""
    if wish.repo:
        return Repo(wish.repo, branch=wish.branch, commit=wish.commit, lfs=not wish.no_lfs)
    named = {"--branch": wish.branch, "--commit": wish.commit, "--no-lfs": wish.no_lfs}
    for option in (option for option, value in named.items() if value):
        raise UsageError(
            f"{option} means nothing without --repo",
            why="without it the code on this disk is sent, as it is now",
            fix=f"--repo URL {option} …, or git switch, and enqueue without {option}",
        )
    return None


def _stray(word: str, after: str, words: Sequence[str]) -> UsageError:
    return UsageError(
        f"{word!r} stands where only evq's own options may",
        why=f"arguments for {after} go after --",
        fix=f"evq enqueue {after} -- {' '.join(words)}",
    )


def make_spec(wish: Wish, entry: Entry, queue: str) -> Spec:
    """The spec of the task, its code left out. Raises `UsageError`."""
    spec = Spec(
        entry=entry,
        repo=_remote(wish),
        name=wish.name or "",
        queue=wish.queue or queue,
        tags=wish.tag,
        manager=wish.env,
        requirements=wish.requirement,
        python=wish.python,
        container=make_container(wish),
        setup=read_setup(wish.setup) if wish.setup else None,
        apt=package_names(wish.apt),
        indexes=wish.index,
        constraints=wish.constraint,
        torch_backend=wish.torch_backend,
        variables=variables(wish.setenv),
        secrets=wish.secret,
        client=wish.client,
        ports=wish.port,
        retries=wish.retries,
        timeout=units.seconds(wish.timeout) if wish.timeout else None,
        grace=units.seconds(wish.grace) if wish.grace else None,
        keep=units.seconds(wish.keep) if wish.keep else None,
        limits=limits(wish),
        gpus=wish.gpus,
        gpu_memory=units.size(wish.gpu_mem) if wish.gpu_mem else None,
        needs=pairs(wish.need, "--need"),
        nodes=wish.nodes,
        project=wish.project or "",
        key=wish.key,
        user=user_name(),
        host=host_name(),
    )
    spec = with_parameters(spec, pairs(wish.set, "--set"), force=wish.force)
    name = wish.name or default_name(spec.entry, spec.params)
    priority = spec.priority if wish.priority is None else wish.priority
    return msgspec.structs.replace(spec, name=name, priority=priority)


def make_container(wish: Wish) -> Container | None:
    """The container that is asked for. Raises `UsageError` for arguments without an image."""
    if wish.docker:
        return Container(wish.docker, wish.docker_arg)
    if wish.docker_arg:
        raise UsageError(
            "--docker-arg stands without --docker",
            why="an argument is for the container of an image",
            fix="--docker IMAGE",
        )
    return None


def package_names(words: Sequence[str]) -> tuple[str, ...]:
    """The names in `--apt` words, several with commas between if one likes."""
    return tuple(name for word in words for name in word.replace(",", " ").split())


def read_setup(path: str) -> str:
    """The text of a set-up script. Raises `UsageError`."""
    return read_text(path, "the set-up script")


def limits(wish: Wish) -> Limits | None:
    """What the task may use at most; None if nothing was said of it."""
    memory = units.size(wish.memory) if wish.memory else None
    found = Limits(memory, wish.cpus, wish.processes)
    return None if found == Limits() else found


def pairs(written: Sequence[str], option: str) -> dict[str, str]:
    """The names and values in `K=V` words. Raises `UsageError`."""
    found = {}
    for word in written:
        name, sign, value = word.partition("=")
        if not sign or not name:
            raise UsageError(
                f"{option} {word} sets nothing",
                why="it wants a name, = and a value",
                fix=f"{option} {name or 'NAME'}=VALUE",
            )
        found[name] = value
    return found


def variables(written: Sequence[str]) -> dict[str, str]:
    """The environment variables in `K=V` and `K` words; the latter are taken from here."""
    for word in written:
        if "=" not in word and word not in os.environ:
            raise UsageError(
                f"--setenv {word}: there is no such variable here",
                why="without a value it is taken from this shell's environment",
                fix=f"--setenv {word}=VALUE",
            )
    return pairs([w if "=" in w else f"{w}={os.environ[w]}" for w in written], "--setenv")
