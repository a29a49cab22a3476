"""A real endpoint on this machine, for tests of models that are asked over HTTP."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ringlite_cli.recipe.schema import Responder


class Server:
    """An endpoint that answers "n + n = ..." prompts; `replies` is a list of (status, what to answer) used up first."""

    def __init__(self) -> None:
        self.replies: list[tuple[int, Any]] = []
        self.seen: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.answer = lambda body: f"\\boxed{{{2 * int(body['messages'][0]['content'].split()[1])}}}"
        self.finish, self.thought = "stop", ""
        self.refuses: Callable[[dict[str, Any]], bytes | None] = lambda body: None
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                owner.seen.append(body)
                owner.keys.append(self.headers.get("Authorization"))
                status, reply = owner.replies.pop(0) if owner.replies else (200, None)
                if refusal := owner.refuses(body):
                    status, reply = 400, refusal
                data = reply if isinstance(reply, bytes) else json.dumps(reply or owner.whole(body)).encode()
                self.send_response(status)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def whole(self, body: dict[str, Any]) -> dict[str, Any]:
        message = {"content": self.answer(body), **({"reasoning_content": self.thought} if self.thought else {})}
        return {
            "choices": [{"message": message, "finish_reason": self.finish}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 7},
        }

    def responder(self, **more: Any) -> Responder:
        url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        return Responder(endpoint=url, model="tester", concurrency=2, **more)

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
