"""What a browser may do with our pages: the headers of every answer.

NiceGUI's page has four scripts of its own inside; they get a nonce, so that no other script in
a page runs, whatever got into it. Vue compiles templates in the browser, hence `unsafe-eval`;
Quasar and Tailwind write styles, hence `unsafe-inline` for those.
"""

from __future__ import annotations

import secrets

_OURS = (
    b'<script type="importmap">',
    b"<script>\n      addStyle = ",
    b'<script type="module">\n      import * as Vue from "vue";',
    b'<script type="module">\n      // Load DOMPurify',
)
"""How NiceGUI's own scripts begin, in the order of the page."""

_STEADY = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)

Headers = list[tuple[bytes, bytes]]


NO_SCRIPTS = ""
"""For answers that are no pages of NiceGUI's."""

ANY_INLINE = "'unsafe-inline' 'unsafe-eval'"
"""For a page of another NiceGUI than we know: it has to work, if less guarded."""


def scripts_with(nonce: str) -> str:
    """Inline scripts that bear the nonce may run."""
    return f"'nonce-{nonce}' 'unsafe-eval'"


def headers(scripts: str = NO_SCRIPTS) -> Headers:
    """What every answer says; `scripts` are the sources of scripts beside our own files."""
    policy = (
        "default-src 'none'",
        f"script-src 'self' {scripts}".strip(),
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
    return [(b"content-security-policy", "; ".join(policy).encode()), *_STEADY]


def with_nonce(page: bytes) -> tuple[bytes, str]:
    """NiceGUI's page with a fresh nonce at its own scripts, and the sources of scripts to allow."""
    nonce = secrets.token_urlsafe(16)
    mark = f'<script nonce="{nonce}"'.encode()
    done, rest = b"", page
    for beginning in _OURS:
        before, found, rest = rest.partition(beginning)
        if not found:
            return page, ANY_INLINE
        done += before + mark + beginning.removeprefix(b"<script")
    return done + rest, scripts_with(nonce)
