"""The element that shows a window of a log; log_view.js says how."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from nicegui.element import Element

from .ansi import styled
from .moving import bar_of, last_state

_STYLE = """
.evq-log { font: 12px/1.45 ui-monospace, monospace; overflow: auto; outline: none;
  height: calc(100vh - 21rem); min-height: 20rem; border: 1px solid rgb(128 128 128 / .25);
  border-radius: 4px; overflow-anchor: none; }
.evq-line { display: flex; gap: .75em; padding: 0 .5em; }
.evq-line:hover { background: rgb(128 128 128 / .1); }
.evq-number, .evq-time { flex: none; color: #888; user-select: none; text-align: right; }
.evq-number { min-width: 4em; cursor: pointer; }
.evq-log:not(.times) .evq-time { display: none; }
.evq-text { white-space: pre; }
.evq-log.wrapped .evq-text { white-space: pre-wrap; overflow-wrap: anywhere; }
.evq-setup .evq-text, .evq-agent .evq-text { color: #888; }
.evq-stderr { box-shadow: inset 2px 0 #e57373; }
.evq-picked { background: rgb(255 193 7 / .22) !important; }
.evq-hit { background: #ffd54f; color: #000; }
.evq-log .bold { font-weight: 700 } .evq-log .dim { opacity: .65 }
.evq-log .italic { font-style: italic } .evq-log .underline { text-decoration: underline }
.evq-log .strike { text-decoration: line-through }
@media (max-width: 600px) { .evq-number { min-width: 2.5em } .evq-log { font-size: 11px } }
"""

_COLORS = {
    "black": ("#424242", "#9e9e9e"),
    "red": ("#c62828", "#ef6c6c"),
    "green": ("#2e7d32", "#81c784"),
    "yellow": ("#a15c00", "#ffd54f"),
    "blue": ("#1565c0", "#64b5f6"),
    "magenta": ("#8e24aa", "#ce93d8"),
    "cyan": ("#00796b", "#4dd0e1"),
    "white": ("#616161", "#eeeeee"),
}
"""Each as it is readable on a light and on a dark page."""


def sheet() -> str:
    """All that the view looks like, for the head of a page."""
    rules = [_STYLE]
    for name, shades in _COLORS.items():
        for page, color in zip(("", ".body--dark "), shades, strict=True):
            rules.append(f"{page}.fg-{name}, {page}.fg-bright-{name} {{ color: {color} }}")
            rules.append(f"{page}.bg-{name}, {page}.bg-bright-{name} {{ background: {color}44 }}")
    return f"<style>{''.join(rules)}</style>"


class Line(msgspec.Struct, frozen=True):
    """One line of an attempt's log; `at` is in microseconds, `stream` is stdout, stderr, setup or
    agent."""

    number: int
    at: int
    stream: str
    text: str


def line_of(row: dict[str, Any]) -> Line:
    """A row of a projector's answer."""
    at = int(datetime.fromisoformat(row["ts"]).timestamp() * 1e6)
    return Line(row["line"], at, row["stream"], row["text"])


class LogView(Element, component="log_view.js"):
    """Shows lines, and asks for more at its ends by the events `older` and `newer`, of the first or
    last `number` that it has; `pick` tells of a line, `following` whether it stays at the end.
    """

    def reset(
        self,
        lines: Sequence[Line],
        *,
        at_start: bool,
        at_end: bool,
        search: str,
        show: int | None,
        picked: tuple[int, int] | None,
    ) -> None:
        """Show these lines alone: from `show` on, or the last ones."""
        how = {
            "at_start": at_start,
            "at_end": at_end,
            "search": search,
            "follow": show is None and at_end,
            "show": show,
            "picked": picked,
        }
        self.run_method("reset", _plain(lines), how)

    def append(self, lines: Sequence[Line]) -> None:
        """Lines that were written now."""
        self.run_method("append", _plain(lines))

    def older(self, lines: Sequence[Line], at_start: bool) -> None:
        """The lines before the first one."""
        self.run_method("older", _plain(lines), at_start)

    def newer(self, lines: Sequence[Line], at_end: bool) -> None:
        """The lines behind the last one."""
        self.run_method("newer", _plain(lines), at_end)

    def pick(self, picked: tuple[int, int] | None) -> None:
        """Mark lines, from the one to the other."""
        self.run_method("pick", picked)


def _plain(lines: Sequence[Line]) -> list[tuple[int, int, str, str | None, list[Any]]]:
    return [
        (
            line.number,
            line.at // 1000,
            line.stream,
            bar_of(line.text),
            list(styled(last_state(line.text))),
        )
        for line in lines
    ]
