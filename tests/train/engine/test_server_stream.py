"""Responses that are streamed from a real HTTP server which speaks as vLLM does, and left in the middle."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ringlite_cli.http_client import NoAnswer, Refused
from ringlite_cli.train.engine.server_stream import ServerStream
from ringlite_cli.train.engine.stream import Ask
from ringlite_cli.train.rl.carry.phase import Limits, Phase
from ringlite_cli.train.rl.carry.pool import Pool

SETTINGS = {"temperature": 1.0, "logprobs": 0}


class Server:
    """Writes the tokens after the prompt's last one, two an event; `slow` seconds lie between two events."""

    def __init__(self) -> None:
        outer = self
        self.bodies: list[dict[str, Any]] = []
        self.left: list[int] = []  # last tokens of prompts whose connection was closed
        self.slow, self.status, self.breaks, self.tells = 0.0, 200, False, True
        self.reason = "stop"

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.bodies.append(body)
                self.send_response(outer.status)
                self.end_headers()
                try:
                    outer.write(body, self.wfile)
                except OSError:
                    outer.left.append(body["prompt"][-1])

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def write(self, body: dict[str, Any], file: Any) -> None:
        last, room = body["prompt"][-1], body["max_tokens"]
        for start in range(1, room + 1, 2):
            tokens = [last + i for i in range(start, min(start + 2, room + 1))]
            told = {"token_logprobs": [-0.5] * len(tokens)} if self.tells else None
            ends = start + 2 > room
            choice = {
                "text": "a\u2028b",
                "token_ids": tokens,
                "logprobs": told,
                "finish_reason": self.reason if ends else None,
            }
            file.write(f"data: {json.dumps({'choices': [choice]}, ensure_ascii=False)}\n\n".encode())
            file.flush()
            if self.breaks:
                return
            time.sleep(self.slow)
        file.write(b"data: [DONE]\n\n")


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made._http.shutdown()


def stream_of(server: Server, in_flight: int = 8) -> ServerStream:
    return ServerStream(server.url, "tiny", SETTINGS, in_flight=in_flight, timeout=10)


def until_one_ends(stream: ServerStream) -> list:
    deadline = time.monotonic() + 20
    while not (found := stream.step()):
        assert time.monotonic() < deadline
    return found


def test_a_response_comes_whole_with_what_was_asked(server: Server) -> None:
    stream = stream_of(server)
    stream.ask([Ask("a", [5, 100], 5, seed=3)])
    (written,) = until_one_ends(stream)
    assert (written.name, written.tokens, written.ended) == ("a", [101, 102, 103, 104, 105], True)
    assert written.log_probs == [-0.5] * 5
    (body,) = server.bodies
    assert {"prompt": [5, 100], "max_tokens": 5, "seed": 3, "model": "tiny", "stream": True}.items() <= body.items()
    assert SETTINGS.items() <= body.items()
    stream.forget()


def test_what_came_until_the_stop_is_kept_and_the_connection_is_closed(server: Server) -> None:
    server.slow = 0.02
    stream = stream_of(server)
    stream.ask([Ask("long", [200], 100_000, 1), Ask("short", [300], 4, 1)])
    assert [written.name for written in until_one_ends(stream)] == ["short"]
    while stream.written() < 6:
        time.sleep(0.01)
    (rest,) = stream.stop()
    assert (rest.name, rest.ended) == ("long", False)
    assert rest.tokens == list(range(201, 201 + len(rest.tokens)))
    assert 6 <= len(rest.tokens) < 1000
    deadline = time.monotonic() + 20
    while server.left != [200]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_server_without_log_probabilities_is_seen_as_one(server: Server) -> None:
    server.tells = False
    stream = stream_of(server)
    stream.ask([Ask("a", [1], 2, 1)])
    assert until_one_ends(stream)[0].log_probs is None
    stream.forget()


def test_a_server_that_fails_is_told(server: Server) -> None:
    server.breaks = True
    stream = stream_of(server)
    stream.ask([Ask("a", [1], 9, 1)])
    with pytest.raises(Exception, match="the server broke off a response after 2 tokens"):
        until_one_ends(stream)
    server.breaks, server.status = False, 503
    stream = stream_of(server)
    stream.ask([Ask("a", [1], 9, 1)])
    with pytest.raises(Refused, match="HTTP 503"):
        until_one_ends(stream)
    stream = ServerStream("http://127.0.0.1:9", "tiny", SETTINGS, in_flight=1, timeout=5)
    stream.ask([Ask("a", [1], 9, 1)])
    with pytest.raises(NoAnswer):
        until_one_ends(stream)


def test_a_response_that_the_server_gave_up_has_not_ended(server: Server) -> None:
    """A server that is being ended says so; taken as ended, its responses would be trained as if they were whole."""
    server.reason = "abort"
    stream = stream_of(server)
    stream.ask([Ask("a", [1], 4, 1)])
    with pytest.raises(Exception, match=r"the server broke off a response after 4 tokens \(abort\)"):
        until_one_ends(stream)


def test_a_phase_carries_over_a_server_s_responses(server: Server) -> None:
    """The second rollout asks for what is missing, with what was written as a part of the prompt."""
    server.slow = 0.001
    pool = Pool()
    for version in range(3):
        pool.version = version
        launch = Phase(pool, Limits(6, 30, 1), lambda: pool.launch({}, [1000 * (pool.launched + 1)], 3))
        launch.run(stream_of(server), 40, lambda wanted=version + 1: len(pool.complete()) >= wanted)
    for group in pool.groups:
        first = group.prompt[0]
        for response in group.responses:
            assert response.tokens == list(range(first + 1, first + 1 + len(response.tokens)))
            assert not response.ended or len(response.tokens) == 30
    assert any(len(set(r.versions)) > 1 for group in pool.groups for r in group.responses)
