"""The HTTP client against a real server on this machine: pooled, bounded, and clear about what failed."""

import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from ringlite_cli.http_client import NoAnswer, Refused, answers, get_json, post_json


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    connections: ClassVar[set[Any]] = set()
    seen: ClassVar[list[tuple[str, str, bytes]]] = []

    def _send(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        Handler.connections.add(self.client_address)
        Handler.seen.append((self.path, self.headers.get("Authorization", ""), body))
        if self.path == "/refuses":
            self._send(429, b"slow down")
        elif self.path == "/text":
            self._send(200, b"<html>")
        elif self.path == "/large":
            self._send(200, b'"' + b"x" * 5000 + b'"')
        elif self.path == "/ends":  # answers, then closes the connection without saying so
            self._send(200, b"{}")
            self.close_connection = True
        else:
            self._send(200, json.dumps({"path": self.path}).encode())

    do_GET = do_POST = _handle

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Handler.connections, Handler.seen = set(), []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_requests_share_a_connection_and_carry_key_and_body(url: str) -> None:
    for n in range(5):
        assert post_json(f"{url}/a", {"n": n}, key="secret", timeout=5) == {"path": "/a"}
    assert get_json(f"{url}/b", timeout=5) == {"path": "/b"}
    assert len(Handler.connections) == 1
    assert Handler.seen[3] == ("/a", "Bearer secret", b'{"n": 3}')
    assert Handler.seen[5][1] == ""


def test_many_threads_are_served(url: str) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda n: get_json(f"{url}/{n}", timeout=5)["path"], range(100)))
    assert found == [f"/{n}" for n in range(100)]
    assert len(Handler.connections) <= 16


def test_a_connection_that_the_server_has_closed_is_opened_again(url: str) -> None:
    for _ in range(4):
        assert get_json(f"{url}/ends", timeout=5) == {}


def test_a_forked_child_opens_a_connection_of_its_own(url: str) -> None:
    get_json(f"{url}/parent", timeout=5)
    if (child := os.fork()) == 0:
        try:
            get_json(f"{url}/child", timeout=5)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    get_json(f"{url}/parent", timeout=5)
    assert [path for path, _, _ in Handler.seen] == ["/parent", "/child", "/parent"]
    assert len(Handler.connections) == 2


def test_what_goes_wrong_is_told(url: str) -> None:
    with pytest.raises(Refused, match="HTTP 429: slow down") as refused:
        get_json(f"{url}/refuses", timeout=5)
    assert refused.value.code == 429
    with pytest.raises(NoAnswer, match="no JSON"):
        get_json(f"{url}/text", timeout=5)
    with pytest.raises(NoAnswer, match="larger than 1,000 bytes"):
        post_json(f"{url}/large", {}, timeout=5, most=1000)
    with pytest.raises(NoAnswer, match="refused"):
        get_json("http://127.0.0.1:9/", timeout=5)
    with pytest.raises(NoAnswer):
        get_json("no address at all", timeout=5)
    assert answers(f"{url}/x", timeout=5)
    assert not answers(f"{url}/refuses", timeout=5)
    assert not answers("http://127.0.0.1:9/", timeout=5)


def test_half_a_character_in_a_body_is_sent_replaced(url: str) -> None:
    post_json(f"{url}/a", {"text": "\ud83d"}, timeout=5)
    assert json.loads(Handler.seen[0][2]) == {"text": "\ud83d"}  # JSON's own escape
