"""The colours of a terminal, as classes of text: `\\x1b[31mred\\x1b[0m` is ("red", "fg-red").

Nothing else that an escape sequence asks for is done: what moves the cursor, sets a title or makes
a link is left out.
"""

from __future__ import annotations

import re

Part = tuple[str, str]
"""A text and its classes."""

_ESCAPE = re.compile(
    r"\x1b\[([\d;:]*)m"  # colours and weights
    r"|\x1b\[[0-?]*[ -/]*[@-~]"  # other control sequences
    r"|\x1b[\]P^_X][^\x07\x1b]*(?:\x07|\x1b\\)?"  # strings: titles, links
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What has no look of its own, or turns the direction of what follows."""

_COLORS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_WEIGHTS = {1: "bold", 2: "dim", 3: "italic", 4: "underline", 9: "strike"}
_ENDS = {22: ("bold", "dim"), 23: ("italic",), 24: ("underline",), 29: ("strike",)}


def styled(text: str) -> list[Part]:
    """A line in parts of one look each."""
    if "\x1b" not in text:
        return [(_CONTROLS.sub("", text), "")]
    parts: list[Part] = []
    look = _Look()
    end = 0
    for found in _ESCAPE.finditer(text):
        _add(parts, text[end : found.start()], look.classes)
        end = found.end()
        if found[1] is not None:
            look.change(found[1])
    _add(parts, text[end:], look.classes)
    return parts or [("", "")]


def bare(text: str) -> str:
    """A line without any escape sequence."""
    return _CONTROLS.sub("", _ESCAPE.sub("", text) if "\x1b" in text else text)


def _add(parts: list[Part], text: str, classes: str) -> None:
    if text := _CONTROLS.sub("", text):
        parts.append((text, classes))


class _Look:
    """What the sequences so far have asked for."""

    def __init__(self) -> None:
        self._weights: dict[str, None] = {}
        self._colors: dict[str, str] = {}

    def _reset(self) -> None:
        self._weights.clear()
        self._colors.clear()

    @property
    def classes(self) -> str:
        return " ".join((*self._weights, *self._colors.values()))

    def change(self, codes: str) -> None:
        numbers = [int(code) if code else 0 for code in re.split("[;:]", codes[:60])]
        while numbers:
            number = numbers.pop(0)
            if number in (38, 48):
                self._extended("fg" if number == 38 else "bg", numbers)
            elif number == 0:
                self._reset()
            elif number in _WEIGHTS:
                self._weights[_WEIGHTS[number]] = None
            elif number in _ENDS:
                for weight in _ENDS[number]:
                    self._weights.pop(weight, None)
            else:
                self._color(number)

    def _color(self, number: int) -> None:
        bright, base = divmod(number, 60) if number >= 90 else (0, number)
        layer, place = {3: "fg", 4: "bg"}.get(base // 10), base % 10
        if layer and place == 9:
            self._colors.pop(layer, None)
        elif layer and place < 8:
            self._colors[layer] = f"{layer}-{'bright-' if bright else ''}{_COLORS[place]}"

    def _extended(self, layer: str, numbers: list[int]) -> None:
        """One of 256 colours, as the nearest of the 16 there are; true colours are left out."""
        kind = numbers.pop(0) if numbers else 0
        if kind == 2:
            del numbers[:3]
        elif kind == 5 and numbers:
            number = numbers.pop(0)
            if number < 16:
                bright = "bright-" if number > 7 else ""
                self._colors[layer] = f"{layer}-{bright}{_COLORS[number % 8]}"
            elif number < 232:
                red, green, blue = ((number - 16) // step % 6 > 2 for step in (36, 6, 1))
                self._colors[layer] = f"{layer}-{_COLORS[red + 2 * green + 4 * blue]}"
