"""The page for who has no token yet. It needs no script."""

from __future__ import annotations

from html import escape

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>evq</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 26rem }}
body {{ margin: 15vh auto; padding: 0 1rem }}
input, button {{ font: inherit; padding: .4rem .6rem; width: 100%; margin: .3rem 0 }}
input, button {{ box-sizing: border-box }}
code {{ background: color-mix(in srgb, currentColor 12%, transparent); padding: 0 .3em }}
</style></head><body>
<h1>evq</h1>
<p>{why}</p>
<p>On the machine where it runs, <code>evq ui --link</code> prints a link that opens it. An admin
makes tokens for others: <code>evq ui user add NAME</code>.</p>
<form method="post" action="/login">
<input type="hidden" name="to" value="{to}">
<input type="password" name="token" placeholder="token" aria-label="token" required autofocus>
<button>Open</button>
</form></body></html>
"""


def doorstep(to: str, *, wrong: bool) -> bytes:
    """The form that asks for a token and leads on to the path `to`."""
    why = "This token is not known." if wrong else "This dashboard wants to know who you are."
    return _PAGE.format(why=why, to=escape(to)).encode()
