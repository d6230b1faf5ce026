"""A host of git repositories on this machine: git's own servers, behind http, https, ssh, git://.

The HTTP side is git's `http-backend` with a login before it, and the few calls of LFS that a
client needs. Everything that was asked is written down.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ports import kept_port

from evq.cli.stack import embedded

PERSON = ("-c", "user.name=A", "-c", "user.email=a@example.org")
FREE = ("-c", "protocol.file.allow=always", "-c", "core.protectHFS=false")


def git(folder: Path, *words: str, stdin: bytes = b"", **variables: str) -> str:
    """What git says, run in `folder` as the author of a repository."""
    env = {**os.environ, **variables}
    argv = ["git", *PERSON, *FREE, *words]
    done = subprocess.run(argv, cwd=folder, input=stdin, capture_output=True, env=env)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


class HttpHost:
    """Serves the bare repositories in `root`; with a `login` (user, password) to who knows it."""

    def __init__(self, root: Path, login: tuple[str, str] | None = None, cert: Path | None = None):
        self.root, self.login = root, login
        self.asked: list[str] = []
        self.heard: list[str] = []
        """The logins that came, as `user:password`."""
        host = self

        class Handler(_Handler):
            owner = host

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.scheme = "http"
        if cert:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(cert)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.scheme = "https"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def place(self) -> str:
        """Its host and port."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """The address of its repositories, without a slash at the end."""
        return f"{self.scheme}://{self.place}"

    @property
    def token_name(self) -> str:
        """The variable in which an agent has a token for it."""
        return "EVQ_GIT_TOKEN_" + self.place.replace(".", "_").replace(":", "_")

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: HttpHost
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _serve(self) -> None:
        self.owner.asked.append(f"{self.command} {self.path}")
        body = self._body()
        if not self._known():
            self._say(401, b"", {"WWW-Authenticate": 'Basic realm="git"'})
        elif "/lfs/" in self.path:
            self._lfs(body)
        else:
            self._git(body)

    do_GET = do_POST = do_PUT = _serve

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _known(self) -> bool:
        said = self.headers.get("Authorization", "").removeprefix("Basic ")
        if said:
            self.owner.heard.append(base64.b64decode(said).decode())
        if self.owner.login is None:
            return True
        return bool(said) and base64.b64decode(said).decode() == ":".join(self.owner.login)

    def _say(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _git(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        env = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.owner.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": "127.0.0.1",
        }
        done = subprocess.run(["git", "http-backend"], input=body, capture_output=True, env=env)
        head, _, answer = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        status = int(headers.pop("Status", "200").split()[0])
        self._say(status, answer, headers)

    def _lfs(self, body: bytes) -> None:
        store = self.owner.root / "lfs"
        store.mkdir(exist_ok=True)
        if not self.path.endswith("/objects/batch"):
            file = store / self.path.rsplit("/", 1)[-1]
            if self.command == "PUT":
                file.write_bytes(body)
            self._say(200 if file.exists() else 404, file.read_bytes(), {})
            return
        asked = json.loads(body)
        objects = []
        for one in asked["objects"]:
            there = (store / one["oid"]).exists()
            url = f"{self.owner.url}/lfs/{one['oid']}"
            if asked["operation"] == "upload" or there:
                one["actions"] = {asked["operation"]: {"href": url}}
            else:
                one["error"] = {"code": 404, "message": "no such object"}
            objects.append(one | {"authenticated": False})
        answer = json.dumps({"transfer": "basic", "objects": objects}).encode()
        self._say(200, answer, {"Content-Type": "application/vnd.git-lfs+json"})


def certificate(folder: Path) -> Path:
    """A file with a key and a certificate for 127.0.0.1 that signs itself."""
    both, key, signed = (folder / name for name in ("both.pem", "key.pem", "cert.pem"))
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", str(key), "-out", str(signed), "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    both.write_bytes(key.read_bytes() + signed.read_bytes())
    return both


@contextmanager
def git_daemon(root: Path) -> Iterator[str]:
    """`git daemon` for the repositories in `root`; gives their address, without a slash."""
    with kept_port() as port:
        argv = ["git", "daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1"]
        argv += [f"--port={port}", f"--base-path={root}", "--verbose", str(root)]
        # In a session of its own: git starts another program, which does the work.
        process = subprocess.Popen(
            argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )
        try:
            assert process.stderr is not None and b"Ready" in process.stderr.readline()
            yield f"git://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, 15)
            process.wait()
            process.stderr.close()


class SshHost:
    """`sshd` as the user who runs the tests, with one key that it lets in."""

    def __init__(self, folder: Path) -> None:
        self._port = embedded.Port(embedded.Address("127.0.0.1", 0))
        self.port = self._port.number
        for name in ("host", "user"):
            make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(make, check=True)
        shutil.copy(folder / "user.pub", folder / "authorized")
        (folder / "known").write_text(
            f"[127.0.0.1]:{self.port} " + (folder / "host.pub").read_text()
        )
        (folder / "nobody").write_text("")
        settings = (
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host'}\n"
            f"AuthorizedKeysFile {folder / 'authorized'}\nStrictModes no\nPidFile none\n"
            "UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        )
        (folder / "sshd_config").write_text(settings)
        self._folder = folder
        Path("/run/sshd").mkdir(exist_ok=True)
        self._process = subprocess.Popen(
            [sshd() or "", "-D", "-e", "-f", str(folder / "sshd_config")],
            stderr=subprocess.PIPE,
        )
        assert self._process.stderr is not None
        assert b"listening" in self._process.stderr.readline()

    def command(self, *, key: str = "user", known: str = "known") -> str:
        """What stands for `ssh` with that key, and those hosts known."""
        files = f"-i {self._folder / key} -o UserKnownHostsFile={self._folder / known}"
        return f"ssh -F none -o IdentitiesOnly=yes -o IdentityAgent=none {files}"

    @property
    def url(self) -> str:
        """The address of this machine's files, without a slash."""
        import getpass

        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}"

    def close(self) -> None:
        """End the server."""
        self._process.terminate()
        self._process.wait()
        assert self._process.stderr is not None
        self._process.stderr.close()
        self._port.release()


def sshd() -> str | None:
    """The server's program, if it is installed and this user may start it."""
    found = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    return found if os.geteuid() == 0 else None


def pointer(content: bytes) -> bytes:
    """The pointer that git keeps in the place of a file in LFS."""
    digest = hashlib.sha256(content).hexdigest()
    return (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(content)}\n"
    ).encode()


if __name__ == "__main__":
    # By hand: python tests/githost.py ROOT USER:TOKEN CERT
    served = HttpHost(Path(sys.argv[1]), tuple(sys.argv[2].split(":")), Path(sys.argv[3]))  # type: ignore[arg-type]
    print(served.url, flush=True)
    threading.Event().wait()
