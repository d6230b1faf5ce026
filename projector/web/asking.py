"""What a page asks before somebody's will is done, and says when it is: a reason, an undo."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui

from ...core.errors import EvqError

UNDO_SECONDS = 10.0

Act = Callable[[], Awaitable[None]]


async def attempt(act: Act) -> bool:
    """Do it; if it is refused say why, and what to do. Returns whether it was done."""
    try:
        await act()
    except EvqError as error:
        ui.notify(
            "\n".join(filter(None, (error.what, error.why, error.fix))),
            type="negative",
            multi_line=True,
            close_button="close",
            classes="whitespace-pre-line",
        )
        return False
    return True


def ask_reason(title: str, verb: str, act: Callable[[str], Awaitable[None]]) -> None:
    """Ask why, and then act with the reason. Enter says yes, Escape no."""
    with ui.dialog(value=True) as dialog, ui.card().classes("w-96 max-w-full gap-2"):
        ui.label(title).classes("evq-head")
        reason = ui.input("Why? Everybody who looks is told.").classes("w-full").props("autofocus")

        async def done() -> None:
            dialog.close()
            await act(reason.value.strip())

        reason.on("keydown.enter", done)
        with ui.row().classes("w-full justify-end"):
            ui.button("Cancel", on_click=dialog.close).props("flat")
            ui.button(verb, on_click=done)
    dialog.on("hide", dialog.delete)


class Snack:
    """A line at the bottom of the page that says what was done, with a button that undoes it."""

    def __init__(self) -> None:
        self._place = ui.element("div")

    def say(self, text: str, undo: Act | None = None) -> None:
        """Say it for ten seconds, in place of what was said before."""
        self._place.clear()
        with self._place, ui.element("div").classes("evq-snack").props("role=status"):
            ui.label(text)
            if undo:

                async def back() -> None:
                    self._place.clear()
                    # The button in whose name the page would go on is gone.
                    with self._place:
                        if await attempt(undo):
                            self.say("undone")

                ui.button("Undo", on_click=back).props("flat dense color=amber")
            ui.timer(UNDO_SECONDS, self._place.clear, once=True)
