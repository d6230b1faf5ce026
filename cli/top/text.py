"""Text for the screen: whatever tasks and users write is text, and moves no cursor."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.text import Text

from ..tasks.render import COLORS

_COLOR_CODES = re.compile(r"\x1b\[[0-9;]*m")
_OTHER_CODES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def plain(text: str) -> str:
    """`text` in one line, without anything that a terminal would obey."""
    bare = _OTHER_CODES.sub("", _COLOR_CODES.sub("", text)).replace("\x1b", "")
    return " ".join(_CONTROL.sub("�", bare.replace("\t", " ")).split("\n"))


def colored_line(text: str) -> Text:
    """A line with the colours that its writer gave it, and nothing else of what it may say."""
    parts = _COLOR_CODES.split(text)
    codes = [*_COLOR_CODES.findall(text), ""]
    kept = "".join(plain(part) + code for part, code in zip(parts, codes, strict=True))
    return Text.from_ansi(kept.replace("\r", ""), no_wrap=False)


def colored_lines(lines: Iterable[str]) -> Text:
    """Several of them."""
    return Text("\n").join(colored_line(line) for text in lines for line in text.split("\n"))


def state_text(state: str, width: int = 0) -> Text:
    """A state in its colour."""
    return Text(state[:width] if width else state, style=COLORS.get(state, ""))
