"""How cells of the grids are drawn, as functions of the browser.

They put words into the page as text, never as HTML: names and reasons are whatever users wrote.
"""

from __future__ import annotations

import msgspec

from ...style import SYMBOLS

NATURAL = "(a, b) => String(a ?? '').localeCompare(String(b ?? ''), undefined, {numeric: true})"
"""`gpu-2` before `gpu-10`."""

GROUP = """(p) => {
    const turn = document.createElement('button');
    turn.className = 'evq-group';
    turn.setAttribute('aria-expanded', p.data.open);
    turn.textContent = p.value;
    turn.onclick = () => emitEvent('group_turned', p.data.group);
    return turn;
}"""
"""The head of a group, which opens and closes it."""

GROUP_NAME = """(p) => p.data.members == null ? p.data.worker :
    `${p.data.open ? '▾' : '▸'} ${p.data.group} (${p.data.members})`"""

BELOW_HEADS = f"""(p) => {{
    const natural = {NATURAL}, groups = new Map();
    for (const node of p.nodes) {{
        const name = node.data.group;
        if (!groups.has(name)) groups.set(name, []);
        groups.get(name).push(node);
    }}
    const heads = (node) => node.data.members == null ? 1 : 0;
    const order = [...groups.keys()].sort(natural)
        .flatMap((name) => groups.get(name).sort((a, b) => heads(a) - heads(b)));
    order.forEach((node, place) => {{ p.nodes[place] = node; }});
}}"""
"""Sorts each group for itself, below its head."""

SHARE = """(p) => {
    if (p.value == null) return '';
    const box = document.createElement('div');
    box.className = p.value >= 90 ? 'evq-share high' : 'evq-share';
    box.style.setProperty('--share', `${Math.min(100, p.value)}%`);
    box.textContent = `${Math.round(p.value)}%`;
    return box;
}"""
"""A share in percent, as a bar behind its number."""

STATE = f"""(p) => {{
    if (!p.value) return '';
    const box = document.createElement('span');
    box.className = `evq-state ${{p.value}}`;
    box.textContent = `${{({msgspec.json.encode(SYMBOLS).decode()})[p.value] ?? '·'}} ${{p.value}}`;
    return box;
}}"""
"""A state: its symbol and its word."""

GPUS = """(p) => {
    const box = document.createElement('div');
    box.className = 'evq-gpus';
    for (const [state, share, words] of p.value ?? []) {
        const bar = document.createElement('span');
        bar.className = `evq-gpu ${state}`;
        bar.style.setProperty('--share', `${share}%`);
        bar.title = words;
        box.append(bar);
    }
    return box;
}"""
"""A worker's GPUs: a bar for each, as high as it is used, and how it looks says its state."""

RATE = """(p) => {
    if (p.value == null) return '';
    let value = p.value / 1024, unit = 'K';
    for (const larger of ['M', 'G']) if (value >= 1000) { value /= 1024; unit = larger; }
    return `${value >= 10 ? Math.round(value) : value.toFixed(1)} ${unit}/s`;
}"""
"""Bytes a second."""

DEGREES = "(p) => p.value == null ? '' : `${Math.round(p.value)} °C`"

SPAN = """(p) => {
    if (p.value == null) return '';
    const s = Math.max(0, Math.round(p.value)), two = (n) => String(n).padStart(2, '0');
    if (s < 60) return `${s}s`;
    if (s < 3600) return `${Math.floor(s / 60)}m${two(s % 60)}s`;
    if (s < 86400) return `${Math.floor(s / 3600)}h${two(Math.floor(s % 3600 / 60))}m`;
    return `${Math.floor(s / 86400)}d${Math.floor(s % 86400 / 3600)}h`;
}"""
"""Seconds, as `phrases.span` says them."""

SINCE = f"""(p) => p.value == null ? '' :
    ({SPAN})({{value: ((p.context.now ?? Date.now()) - p.value) / 1000}})"""
"""For how long something has been so, given since when, in milliseconds since 1970."""

BY_STATE = "(a, b) => (a ?? []).length - (b ?? []).length"


def link(prefix: str) -> str:
    """The value as a link to its own page; of `ID NAME` the id says which page."""
    return f"""(p) => {{
        if (!p.value) return '';
        const link = document.createElement('a'), [name] = String(p.value).split(' ');
        link.className = 'evq-link';
        link.href = {prefix!r} + encodeURIComponent(name);
        link.textContent = p.value;
        return link;
    }}"""


WORKER = f"(p) => (p.data.members == null ? {link('/workers/')} : {GROUP})(p)"
"""A worker's name as a link, or the head of a group."""
