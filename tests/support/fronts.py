"""HTTP servers in a thread: one with given answers, and a proxy before the real registry."""

from __future__ import annotations

import contextlib
import http.client
import ssl
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple
from urllib.parse import urlsplit


class Asked(NamedTuple):
    """One request. `headers` have lower-case names."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Answer = tuple[int, bytes]


@contextlib.contextmanager
def serve(answer: Callable[[Asked], Answer], context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Yield the URL of a server that answers every request with the status and JSON body that `answer` returns."""

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, body = answer(Asked(self.command, self.path, headers, self.rfile.read(length)))
            self.send_response(status)
            self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = _any

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http{'s' if context else ''}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Front:
    """Forwards to the real registry, records the requested paths in `asked`; answers 503 while `down` is set."""

    def __init__(self, registry_url: str) -> None:
        self._real = urlsplit(registry_url)
        self.asked: list[str] = []
        self.down = False

    def schemas_asked(self, schema_id: int) -> int:
        """Return the number of requests for the schema with this id."""
        return sum(path.partition("?")[0].endswith(f"/schemas/ids/{schema_id}") for path in self.asked)

    def __call__(self, asked: Asked) -> Answer:
        self.asked.append(asked.path)
        if self.down:
            return 503, b"down for the test"
        assert self._real.hostname
        real = http.client.HTTPConnection(self._real.hostname, self._real.port or 80, timeout=10)
        try:
            headers = {name: asked.headers[name] for name in ("accept", "content-type") if name in asked.headers}
            real.request(asked.method, self._real.path.rstrip("/") + asked.path, asked.body or None, headers)
            answer = real.getresponse()
            return answer.status, answer.read()
        finally:
            real.close()
