"""An HTTP server that sends any bytes at any speed, on a real socket."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator

Script = Callable[[bytes], Iterable[bytes]]
"""Request head → the pieces to send. The connection is closed after the last one."""


class HostileServer:
    """Answers every connection by `script`; keeps the heads of the requests in `heads`, the bytes sent in `sent`."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.heads: list[bytes] = []
        self.sent = 0
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head and (piece := connection.recv(65536)):
                head += piece
            self.heads.append(head)
            for piece in self.script(head):
                connection.sendall(piece)
                self.sent += len(piece)


@contextlib.contextmanager
def hostile(script: Script) -> Iterator[HostileServer]:
    """Run such a server for the block."""
    server = HostileServer(script)
    try:
        yield server
    finally:
        server.close()


def response(status: int, body: bytes, *headers: str) -> bytes:
    """Return a well-formed response."""
    lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body
