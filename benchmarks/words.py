"""The words of an invented laboratory: its projects, people, parameters, and what goes wrong."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import msgspec

from evq.core.events import Cause, Package

_PEOPLE = """ada alan barbara claude donald edsger frances grace hedy ivan john katherine leslie
    margaret niklaus radia shafi tim vint yann"""
USERS = tuple(_PEOPLE.split())

Choose = Callable[[random.Random], str]


def _one_of(*words: str) -> Choose:
    return lambda chance: chance.choice(words)


_RATE: Choose = lambda chance: f"{10 ** chance.uniform(-5, -2):.2e}"  # noqa: E731
_SEED: Choose = lambda chance: str(chance.randrange(100))  # noqa: E731
_BATCH = _one_of("32", "64", "128", "256")


class Project(msgspec.Struct, frozen=True):
    """A project: its programs as (name, module, parameters), and queues with their weights."""

    name: str
    programs: tuple[tuple[str, str, Mapping[str, Choose]], ...]
    queues: tuple[tuple[str, ...], tuple[int, ...]]


_VISION = {"lr": _RATE, "seed": _SEED, "batch": _BATCH, "model": _one_of("vit-b", "vit-l", "r50")}
_TEXT = {
    "lr": _RATE,
    "seed": _SEED,
    "context": _one_of("2048", "4096", "8192"),
    "optimizer": _one_of("adamw", "lion", "muon"),
    "width": _one_of("768", "1024", "2048"),
}
_SPEECH = {"lr": _RATE, "seed": _SEED, "batch": _BATCH, "augment": _one_of("none", "specaug")}
_USUAL = (("default", "sweeps", "eval", "urgent"), (70, 15, 12, 3))
_SWEEPS = (("default", "sweeps", "eval", "urgent"), (25, 65, 8, 2))

PROJECTS = (
    Project(
        "vision",
        (("train-vit", "vision.train", _VISION), ("eval-vit", "vision.evaluate", _VISION)),
        _USUAL,
    ),
    Project(
        "language",
        (("pretrain", "language.pretrain", _TEXT), ("finetune", "language.finetune", _TEXT)),
        _USUAL,
    ),
    Project("speech", (("train-ctc", "speech.train", _SPEECH),), _USUAL),
    Project("search", (("sweep-lr", "language.finetune", _TEXT),), _SWEEPS),
    Project("robotics", (("rollout", "robotics.rollout", _VISION),), _USUAL),
)

CAUSES = (
    (
        Cause.CODE,
        Cause.OOM_HOST,
        Cause.SIGNAL,
        Cause.ENVIRONMENT,
        Cause.SOURCE,
        Cause.TIME,
        Cause.LOST_AGENT,
        Cause.ABORT,
    ),
    (50, 8, 6, 8, 2, 6, 8, 12),
)
"""What ends attempts, and how often."""

_EVIDENCE = {
    Cause.CODE: (
        "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
        "ValueError: the loss is nan at step 1200",
        "FileNotFoundError: [Errno 2] No such file or directory: 'data/train.idx'",
        "KeyError: 'labels'",
    ),
    Cause.OOM_HOST: ("the kernel ended a process for want of memory",),
    Cause.SIGNAL: ("SIGSEGV ended the command",),
    Cause.ENVIRONMENT: ("no version of torch==2.9.0 fits python 3.11",),
    Cause.SOURCE: ("the snapshot could not be put in place",),
    Cause.TIME: ("it ran longer than its time limit",),
    Cause.ABORT: ("not needed any more",),
}

METRICS = (
    ("train/loss",),
    ("train/loss", "val/loss", "val/accuracy"),
    ("train/loss", "val/loss", "val/accuracy", "lr", "grad_norm"),
    ("reward/mean", "reward/max", "episode/length", "train/loss", "entropy", "lr"),
)

_PACKAGES = """torch numpy pandas scipy pillow tqdm requests urllib3 idna certifi pyyaml jinja2
    markupsafe filelock networkx sympy mpmath fsspec regex tokenizers safetensors huggingface-hub
    packaging typing-extensions click rich pygments psutil matplotlib kiwisolver"""


def tags(chance: random.Random) -> tuple[str, ...]:
    """None, one or two tags."""
    known = ("baseline", "ablation", "paper", "debug", "nightly")
    return tuple(sorted(set(chance.choices(known, k=chance.choice((0, 0, 1, 1, 2))))))


def evidence(cause: Cause | None, chance: random.Random) -> str:
    """What somebody saw of it."""
    return chance.choice(_EVIDENCE.get(cause, ("",))) if cause else ""


def packages(chance: random.Random) -> tuple[str, tuple[Package, ...]]:
    """One of a few environments: its key, and what is in it."""
    number = chance.randrange(12)
    return f"{number:016x}", tuple(
        Package(name, f"{2 + place % 3}.{number}.{place}")
        for place, name in enumerate(_PACKAGES.split())
    )


def lines(first: int, count: int, chance: random.Random) -> tuple[str, ...]:
    """So many lines of a log, as a training loop prints them."""
    loss = 8 * chance.random()
    return tuple(
        f"step {10 * number} | loss {loss / (1 + number / 40):.4f} | {2000 + number % 97} samples/s"
        for number in range(first, first + count)
    )
