"""How the page looks: one sheet for tiles, bars, states and the heat map's neighbours.

States differ in shape and word as well as in colour; the colours are those of Okabe and Ito, which
people with any colour vision tell apart.
"""

from __future__ import annotations

COLOURS = {
    "busy": "#2f81d0",
    "idle": "#9aa5b1",
    "outside": "#e69f00",
    "drained": "#b06fb0",
    "offline": "#d55e00",
}
"""Of the states of GPUs, the same in charts, bars and tiles."""

SYMBOLS = {
    "busy": "●",
    "idle": "○",
    "paused": "‖",
    "draining": "◐",
    "drained": "◌",
    "stopping": "▾",
    "lost": "✕",
    "silent": "?",
    "down": "–",
    "outside": "◆",
    "offline": "✕",
    "open": "●",
    "deleted": "–",
}

AXIS = "#8a929c"
"""Labels of charts, readable on light and on dark."""

GRID_LINE = "rgba(138, 146, 156, 0.25)"

TOGGLE = "dense no-caps unelevated size=sm padding='1px 8px' toggle-color=primary"
"""How choices of one out of few look."""

SHEET = (
    ":root {"
    + "".join(f"--evq-{name}: {colour};" for name, colour in COLOURS.items())
    + "}"
    + """
.evq-tiles { display: grid; gap: 6px; width: 100%;
  grid-template-columns: repeat(auto-fill, minmax(96px, 1fr)); }
.evq-tile { display: flex; flex-direction: column; align-items: flex-start; text-align: left;
  padding: 6px 10px; border: 1px solid rgba(138, 146, 156, 0.35); border-radius: 6px;
  background: transparent; color: inherit; cursor: pointer; line-height: 1.2;
  border-left: 4px solid var(--tile, rgba(138, 146, 156, 0.35)); }
.evq-tile:hover, .evq-tile:focus-visible { background: rgba(138, 146, 156, 0.12); }
.evq-tile[aria-pressed="true"] { background: rgba(47, 129, 208, 0.18); }
.evq-tile.plain { cursor: default; }
.evq-small { font-size: 0.72rem; opacity: 0.8; white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; max-width: 100%; }
.evq-head { font-size: 0.95rem; font-weight: 600; }
.evq-dim { opacity: 0.7; font-size: 0.8rem; }
.evq-card { width: 100%; border: 1px solid rgba(138, 146, 156, 0.3); border-radius: 6px;
  padding: 6px 8px; min-width: 0; }
.evq-charts { display: grid; gap: 8px; width: 100%; grid-template-columns: 1fr 1fr; }
@media (max-width: 800px) { .evq-charts { grid-template-columns: 1fr; } }
.evq-gpus { display: flex; gap: 2px; align-items: center; height: 100%; }
.evq-gpu { position: relative; width: 9px; height: 18px; border-radius: 2px; overflow: hidden;
  border: 1px solid var(--colour); box-sizing: border-box; flex: none; }
.evq-gpu::after { content: ""; position: absolute; inset: auto 0 0 0; height: var(--share, 0%);
  background: var(--colour); }
.evq-gpu.busy { --colour: var(--evq-busy); }
.evq-gpu.idle { --colour: var(--evq-idle); }
.evq-gpu.outside { --colour: var(--evq-outside); background: repeating-linear-gradient(
  45deg, var(--evq-outside) 0 2px, transparent 2px 4px); }
.evq-gpu.drained { --colour: var(--evq-drained); border-style: dashed; }
.evq-gpu.offline { --colour: var(--evq-offline); background: linear-gradient(to top right,
  transparent 44%, var(--evq-offline) 44% 56%, transparent 56%), linear-gradient(to bottom right,
  transparent 44%, var(--evq-offline) 44% 56%, transparent 56%); }
.evq-share { display: flex; align-items: center; justify-content: flex-end; height: 18px;
  margin-top: 5px; padding: 0 4px; line-height: 18px; border-radius: 3px;
  font-variant-numeric: tabular-nums;
  background: linear-gradient(to right, rgba(47, 129, 208, 0.3) var(--share),
  rgba(138, 146, 156, 0.12) var(--share)); }
.evq-share.high { background: linear-gradient(to right, rgba(213, 94, 0, 0.45) var(--share),
  rgba(138, 146, 156, 0.12) var(--share)); font-weight: 600; }
.evq-state.lost, .evq-state.silent, .evq-state.offline {
  color: var(--evq-offline); font-weight: 600; }
.evq-state.busy { color: var(--evq-busy); }
.evq-state.draining, .evq-state.drained, .evq-state.stopping { color: var(--evq-drained); }
.evq-state.paused, .evq-state.outside { color: var(--evq-outside); font-weight: 600; }
.evq-group { background: none; border: none; color: inherit; font: inherit; font-weight: 600;
  padding: 0; cursor: pointer; max-width: 100%; overflow: hidden; text-overflow: ellipsis; }
.evq-link { color: #2f81d0; text-decoration: none; }
.evq-link:hover, .evq-link:focus-visible { text-decoration: underline; }
.evq-snack { position: fixed; left: 50%; bottom: 16px; transform: translateX(-50%); z-index: 6000;
  background: #30363d; color: #fff; border-radius: 6px; padding: 6px 14px; display: flex;
  gap: 12px; align-items: center; max-width: 96vw; box-shadow: 0 2px 10px rgba(0, 0, 0, 0.4); }
.evq-past { background: rgba(230, 159, 0, 0.18); border: 1px solid var(--evq-outside);
  border-radius: 6px; padding: 4px 10px; width: 100%; }
.nicegui-aggrid { --ag-font-size: 12px; }
"""
)

HEAD = f"<style>{SHEET}</style>"
"""The sheet as part of a page: a style may stand in it, unlike a script that adds one."""
