"""The client of the schema registry, against HTTP servers that answer in every way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from conference_events import Registry, RegistryError

ANSWERS = {
    1: [(200, b'{"schema":"text"}')],
    2: [(503, b""), (500, b""), (200, b'{"schema":"late"}')],
    3: [(404, b'{"error_code":40403}')],
    4: [(200, b"<html>")],
    5: [(503, b"")] * 4,
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        server.logins.append(self.headers["Authorization"])
        status, body = server.answers[int(self.path.rpartition("/")[2])].pop(0)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(HTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = {number: list(answers) for number, answers in ANSWERS.items()}
        self.logins: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_a_schema_is_fetched_once_with_the_login(server: Server) -> None:
    registry = Registry(server.url, user="u", password="p")
    assert [registry.schema(1), registry.schema(1)] == ["text", "text"]
    assert server.logins == ["Basic dTpw"]


def test_a_registry_that_fails_is_asked_again(server: Server) -> None:
    assert Registry(server.url).schema(2) == "late"


@pytest.mark.parametrize(
    ("number", "reason"), [(3, "answered 404"), (4, "did not answer as a schema registry does"), (5, "answered 503")]
)
def test_other_answers_are_errors_with_a_remedy(server: Server, number: int, reason: str) -> None:
    with pytest.raises(RegistryError, match=f"/schemas/ids/{number} {reason}: check the URL"):
        Registry(server.url).schema(number)


def test_no_registry_is_an_error_with_a_remedy() -> None:
    with pytest.raises(RegistryError, match=r"does not answer .*: check the URL"):
        Registry("http://127.0.0.1:1").schema(1)
    with pytest.raises(RegistryError, match="expected http:// or https://"):
        Registry("localhost:8081")
