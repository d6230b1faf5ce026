"""`evq agent`: run tasks on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from ...core import units
from ...core.container import check_image
from ...core.errors import UsageError
from ...core.fleet.labels import check_labels
from ...core.fleet.served import counts_text, read_queues
from ...core.ids import check_name
from ...core.queueing import queue_order
from ...core.settings import Settings
from ..calling import configuration_with, login
from ..completion import complete_queue
from ..submit.launch import become
from ..submit.request import pairs
from . import unit
from .agent_duty import default_queue, duty_options, duty_words
from .unit import unit_options


@click.command()
@click.option(
    "--queues",
    metavar="A,B",
    shell_complete=complete_queue,
    help="The queues to serve, the most urgent first; A=2 or A=1-4 gives each task of A that asks "
    "for no GPUs so many.  [the setting queue]",
)
@click.option(
    "--order",
    default="strict",
    metavar="KIND",
    help="strict empties the first queue first; round-robin takes turns; weighted:A=3,B=1 gives "
    "each its share.  [strict]",
)
@click.option(
    "--slots",
    type=click.IntRange(min=1),
    metavar="N",
    help="Tasks at a time.  [as many as GPUs, at least 1]",
)
@click.option(
    "--gpus",
    metavar="LIST",
    help="The GPUs for tasks: 0,2-3, ids, MIG instances, all or none.  [all]",
)
@click.option("--gpu-readings", metavar="FILE", help="GPUs out of a file, for trying things.")
@click.option(
    "--label", multiple=True, metavar="K=V", help="What tasks may need it to be; repeatable."
)
@click.option(
    "--cpus",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="Processors for all its tasks.  [all there are]",
)
@click.option("--memory", metavar="SIZE", help="Memory for all its tasks.  [all there is]")
@click.option("--patience", metavar="TIME", help="How long it may pass a task by.")
@click.option("--name", help="The agent's name.  [this machine's name]")
@click.option(
    "--on-disconnect",
    type=click.Choice(["freeze", "run", "stop"]),
    metavar="KIND",
    help="What a task does while the server is away: freeze, run or stop.",
)
@click.option("--lease", metavar="TIME", help="How long the agent may be silent.")
@click.option("--grace", metavar="TIME", help="From SIGTERM to SIGKILL.")
@click.option("--keep", metavar="TIME", help="How long a failed attempt's folder stays.")
@click.option("--gather", metavar="TIME", help="When places are kept for a gang's other ranks.")
@click.option("--address", metavar="HOST", help="Where other ranks of a gang reach this machine.")
@click.option("--max-timeout", metavar="TIME", help="The longest that a task may run here.")
@click.option("--state-dir", metavar="DIR", help="What must be found again after a crash.")
@click.option("--cache-dir", metavar="DIR", help="Environments and code.")
@click.option("--docker", metavar="IMAGE", help="Run tasks that ask for none in this image.")
@click.option(
    "--docker-for",
    multiple=True,
    metavar="QUEUE=IMAGE",
    help="The same for the tasks of one queue; repeatable.",
)
@click.option("--docker-args", metavar="ARGS", help="Arguments for every container.")
@click.option(
    "--docker-allow",
    metavar="NAMES",
    help="Guarded arguments that tasks may use, such as volume,network.",
)
@click.option("--allow-setup", is_flag=True, help="Run set-up scripts without a container, too.")
@click.option("--allow-apt", is_flag=True, help="Install system packages without one, too.")
@click.option(
    "--allow-client",
    is_flag=True,
    help="Give tasks that ask for it a login to the server; --services does.",
)
@click.option("--extra-ca", metavar="FILE", help="Authorities that set-up and tasks trust, too.")
@click.option("--no-wait", is_flag=True, help="Fail if the server is not there; else wait for it.")
@click.option("--pass-env", metavar="A,B*", help="More of its variables for tasks to see.")
@click.option("--secrets-env", metavar="A,B*", help="Its variables that tasks may have as secrets.")
@click.option("--secrets-file", metavar="FILE", help="Secrets as TOML, readable by you alone.")
@duty_options
@unit_options
def agent(
    queues: str | None,
    order: str,
    slots: int | None,
    gpus: str | None,
    gpu_readings: str | None,
    label: tuple[str, ...],
    cpus: float | None,
    memory: str | None,
    patience: str | None,
    name: str | None,
    on_disconnect: str | None,
    lease: str | None,
    grace: str | None,
    keep: str | None,
    gather: str | None,
    address: str | None,
    max_timeout: str | None,
    state_dir: str | None,
    cache_dir: str | None,
    docker: str | None,
    docker_for: tuple[str, ...],
    docker_args: str | None,
    docker_allow: str | None,
    allow_setup: bool,
    allow_apt: bool,
    allow_client: bool,
    extra_ca: str | None,
    no_wait: bool,
    pass_env: str | None,
    secrets_env: str | None,
    secrets_file: str | None,
    install_service: bool,
    for_user: bool,
    print_service: bool,
    **duty: Any,
) -> None:
    """Run tasks on this machine, until SIGTERM or ^C.

    \b
    Examples:
      evq agent
      evq agent --queues urgent,default --slots 2
      evq agent --gpus 0-7 --queues dual=2,single=1
      evq agent --queues a,b --order weighted:a=3,b=1
      evq agent --services --queues services
      evq agent --queues gpu --drain-timeout 2h --install-service --user
      evq agent --schedule "mon-fri 20:00-08:00; sat,sun" --outside give-back
      evq --server nats://head:4222 agent --queues gpu --name gpu-01
    """
    configuration = configuration_with(
        gpus=gpus,
        gpu_readings=gpu_readings,
        lease=lease,
        grace=grace,
        keep=keep,
        gather=gather,
        address=address,
        max_timeout=max_timeout,
        patience=patience,
        on_disconnect=on_disconnect,
        state_dir=state_dir,
        cache_dir=cache_dir,
        docker=docker,
        docker_args=docker_args,
        docker_allow=docker_allow,
        extra_ca=extra_ca,
        pass_env=pass_env,
        secrets_env=secrets_env,
        secrets_file=secrets_file,
    )
    known = configuration.settings
    served = read_queues(queues or default_queue(duty, known.queue))
    queue_order.parse(order, list(served))
    arguments = {
        "--queues": ",".join(served),
        "--queue-gpus": counts_text(served),
        "--order": order,
        "--slots": str(slots) if slots else None,
        "--cpus": f"{cpus:g}" if cpus else None,
        "--memory": str(units.size(memory)) if memory else None,
        "--name": check_name(name, "agent") if name else None,
    }
    words = [word for name, value in arguments.items() if value for word in (name, value)]
    words += words_of(known)
    words += duty_words(duty, slots, gpus)
    words += ["--no-wait"] * no_wait
    if label:
        words.append("--label=" + ",".join(_labels(label)))
    if docker_for:
        words.append("--docker-for=" + ",".join(map(_image_rule, docker_for)))
    words += ["--allow-setup"] * allow_setup + ["--allow-apt"] * allow_apt
    words += ["--allow-client"] * (allow_client or bool(duty["services"]))
    if for_user and not install_service:
        raise UsageError(
            "--user alone says nothing",
            why="it is about the unit of --install-service",
            fix="evq agent --install-service --user",
        )
    if install_service:
        login(known)  # to be told now if no server is known
        act = unit.show if print_service else unit.install
        act(click.get_current_context(), configuration, for_user=for_user)
        return
    become("evq.agent", words, known)


def _labels(written: Sequence[str]) -> Sequence[str]:
    check_labels(pairs(written, "--label"), "--label")
    return written


def words_of(known: Settings) -> list[str]:
    """What the settings tell an agent, as its command line."""
    arguments = {
        "--on-disconnect": known.on_disconnect,
        "--lease": f"{known.lease:g}",
        "--grace": f"{known.grace:g}",
        "--keep": f"{known.keep:g}",
        "--gather": f"{known.gather:g}",
        "--address": known.address,
        "--state-dir": known.state_dir,
        "--cache-dir": known.cache_dir,
        "--log-bytes": str(known.log_bytes),
        "--spool-bytes": str(known.spool_bytes),
        "--docker": known.docker,
        "--docker-args": known.docker_args,
        "--docker-allow": known.docker_allow,
        "--extra-ca": known.extra_ca,
        "--git-credentials": known.git_credentials,
        "--git-protocol": known.git_protocol,
        "--git-ssh": known.git_ssh,
        "--pass-env": ",".join(known.pass_env),
        "--secrets-env": ",".join(known.secrets_env),
        "--secrets-file": known.secrets_file,
        "--gpus": known.gpus,
        "--gpu-readings": known.gpu_readings,
        "--gpu-foreign": str(known.gpu_foreign),
        "--limits": known.limits,
        "--patience": f"{known.patience:g}",
        "--max-timeout": f"{known.max_timeout:g}" if known.max_timeout else None,
        "--disk-floor": str(known.disk_floor),
        "--cache-bytes": str(known.cache_bytes),
        "--cache-kinds": known.cache_kinds,
        "--trackers": known.trackers,
        "--artifacts": known.artifacts,
        "--artifact-bytes": str(known.artifact_bytes),
        "--sample-every": f"{known.sample_every:g}",
        "--report-every": f"{known.report_every:g}",
        "--quiet-after": f"{known.quiet_after:g}",
    }
    # In one word each: a value may begin like an option.
    return [f"{name}={value}" for name, value in arguments.items() if value]


def _image_rule(rule: str) -> str:
    queue, sign, image = rule.partition("=")
    if not sign:
        raise UsageError(
            f"--docker-for {rule} names no image",
            why="it wants a queue, = and an image",
            fix=f"--docker-for {queue}=python:3.12-slim",
        )
    check_name(queue, "queue")
    check_image(image)
    return rule
