"""What lies over a table for a moment: a question before something is done, a text to be read."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from .acting import REASON, Action
from .text import plain


class Confirm(ModalScreen[tuple[str, str] | None]):
    """Asks whether to do something, and why: gives the reason and what else was asked for."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "dismiss(None)", "No")]

    def __init__(self, action: Action) -> None:
        super().__init__()
        self._action = action

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Text(plain(self._action.title) + "?", style="bold"))
            if self._action.asks:
                yield Input(placeholder=self._action.asks, id="asked", compact=True)
            yield Input(placeholder=f"reason [{REASON}]", id="reason", compact=True)
            yield Static(Text("enter: do it    esc: leave it as it is", style="dim"))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        reason = self.query_one("#reason", Input)
        if event.input is not reason:
            reason.focus()
            return
        asked = self.query_one("#asked", Input).value.strip() if self._action.asks else ""
        self.dismiss((reason.value.strip() or REASON, asked))


class Reading(ModalScreen[None]):
    """A text that is read and put away."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape,q,enter", "dismiss(None)", "Back"),
    ]

    def __init__(self, title: str, text: Text) -> None:
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog"):
            yield Static(Text(self._title, style="bold"))
            yield Static(self._text)
