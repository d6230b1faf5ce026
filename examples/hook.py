"""Prints what is posted to it: a webhook for trying alerts and triggers out.

python3 examples/hook.py 9000
"""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Hook(BaseHTTPRequestHandler):
    """Takes everything."""

    def do_POST(self) -> None:
        """Print the body."""
        print(self.rfile.read(int(self.headers["Content-Length"])).decode(), flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing of requests."""


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
    with HTTPServer(("localhost", port), Hook) as server:
        print(f"listening on port {server.server_port}", flush=True)
        server.serve_forever()
