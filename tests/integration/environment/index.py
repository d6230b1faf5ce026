"""A package index on this machine, with wheels made on the spot."""

from __future__ import annotations

import base64
import hashlib
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CANARY = "c4n4ry/7d1e@x"
"""A password, with what an address does not allow."""


@dataclass
class Index:
    """A running index, and what was asked of it."""

    root: Path
    port: int
    login: str | None = None
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/simple"

    def with_login(self, login: str) -> str:
        return f"http://{login}@127.0.0.1:{self.port}/simple"

    def add(self, name: str, version: str, needs: tuple[str, ...] = ()) -> None:
        """Offer a package whose module of the same name knows its version."""
        folder = self.root / "simple" / name
        folder.mkdir(parents=True, exist_ok=True)
        wheel(folder / f"{name}-{version}-py3-none-any.whl", name, version, needs)
        files = sorted(path.name for path in folder.glob("*.whl"))
        links = "".join(f'<a href="{file}">{file}</a>' for file in files)
        (folder / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>")


def wheel(path: Path, name: str, version: str, needs: tuple[str, ...]) -> None:
    """Write a wheel of one module."""
    info = f"{name}-{version}.dist-info"
    requires = "".join(f"Requires-Dist: {need}\n" for need in needs)
    files = {
        f"{name}.py": f"__version__ = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},{_hash(text)},{len(text)}\n" for file, text in files.items())
    record += f"{info}/RECORD,,\n"
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(file, content)


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256={base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, index: Index, *args: Any) -> None:
        self.index = index
        super().__init__(*args, directory=str(index.root))

    def do_GET(self) -> None:
        self.index.asked.append(self.path)
        if self.index.login is not None:
            wanted = base64.b64encode(self.index.login.encode()).decode()
            if self.headers.get("Authorization") != f"Basic {wanted}":
                self.send_response(HTTPStatus.UNAUTHORIZED)
                self.send_header("WWW-Authenticate", 'Basic realm="packages"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
        super().do_GET()

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def serve(root: Path, login: str | None = None) -> Iterator[Index]:
    """An index in the folder `root`, as long as the block lasts."""
    index = Index(root, 0, login)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, index)) as server:
        index.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield index
        finally:
            server.shutdown()
            thread.join()
