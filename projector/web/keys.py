"""Keys that work on every page, handled in the browser; `?` lists them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from nicegui import ui

FIND = "evq-find"
"""The class of the field that `/` goes to."""

KEYS = {
    "/": "to the filter; Escape leaves it",
    "j  k": "one row down, one row up; Enter opens it, Space selects it",
    "g w": "Workers & Queues; g t Tasks, g c Compare, g v Services, g s SQL",
    "?": "these lines",
}

_LISTEN = """(() => {
    if (window.evqKeys) return;
    window.evqKeys = true;
    const places = PLACES;
    let going = 0;

    const cell = () => document.activeElement?.closest('.ag-cell');

    const step = (key) => {
        const first = '.ag-center-cols-container .ag-row[row-index="0"] .ag-cell';
        if (!cell()) return document.querySelector(first)?.focus();
        cell().dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
    };

    const open = () => {
        const row = cell()?.closest('.ag-row');
        const same = `.ag-row[row-id="${CSS.escape(row?.getAttribute('row-id') ?? '')}"] a`;
        row?.closest('.ag-root')?.querySelector(same)?.click();
    };

    document.addEventListener('keydown', (e) => {
        if (e.ctrlKey || e.metaKey || e.altKey || !e.isTrusted) return;
        const at = document.activeElement;
        if (at?.matches('input, textarea, select, [contenteditable=true]')) {
            if (e.key === 'Escape') at.blur();
            return;
        }
        if (Date.now() - going < 1500 && places[e.key]) return location.assign(places[e.key]);
        going = e.key === 'g' ? Date.now() : 0;
        switch (e.key) {
            case '/': e.preventDefault(); document.querySelector('.FIND input')?.focus(); break;
            case '?': emitEvent('help'); break;
            case 'j': step('ArrowDown'); break;
            case 'k': step('ArrowUp'); break;
            case 'Enter': open(); break;
        }
    });
})()"""


def add_keys(places: Mapping[str, str]) -> None:
    """Let this page listen to keys; `places` are paths by the key that follows `g`."""
    with ui.dialog() as help, ui.card().classes("gap-1"):
        for key, text in KEYS.items():
            with ui.row().classes("gap-3 no-wrap"):
                ui.label(key).classes("font-mono w-12")
                ui.label(text)
    ui.on("help", help.open)
    there = msgspec.json.encode(places).decode()
    ui.run_javascript(_LISTEN.replace("PLACES", there).replace("FIND", FIND))
