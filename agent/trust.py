"""The authorities that an agent's set-up and tasks trust, beside those that everybody does."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from ..core.errors import SettingsError

VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")
"""Where uv and Python's own TLS, pip, and the library requests look for authorities."""


def trusted_file(extra: Path | None, folder: Path) -> Path | None:
    """The file of all authorities: the system's with those in `extra` added, kept in `folder`.

    Without `extra`, the file that the agent itself was told to use, if it was. Raises
    `SettingsError` if `extra` cannot be read.
    """
    if extra is None:
        own = os.environ.get("SSL_CERT_FILE")
        return Path(own).resolve() if own and os.path.isfile(own) else None
    try:
        added = extra.read_bytes()
        ssl.create_default_context().load_verify_locations(cadata=added.decode())
    except (OSError, ValueError, ssl.SSLError) as error:
        raise SettingsError(
            "extra_ca cannot be used",
            why=f"{extra}: {error}",
            fix="name a file of certificates in PEM form",
        ) from error
    system = ssl.get_default_verify_paths().cafile
    known = Path(system).read_bytes() if system and os.path.isfile(system) else b""
    both = folder / "authorities.pem"
    part = folder / f".authorities.{os.getpid()}"
    part.write_bytes(known + b"\n" + added)
    part.replace(both)
    return both


def trust_variables(file: str | Path | None) -> dict[str, str]:
    """The variables that make programs trust what is in `file`."""
    return dict.fromkeys(VARIABLES, str(file)) if file else {}
