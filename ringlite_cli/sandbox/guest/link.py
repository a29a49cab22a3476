"""The link between tests and program: JSON lines over a socket, requests answered by replies."""

import json
import socket
from collections.abc import Callable
from typing import Any

MAX_MESSAGE = 64 << 20


class Gone(BaseException):
    """The program's process ended or broke the protocol. No `except Exception` of the tests outlives it."""


class Peer:
    """One end of the link: JSON lines, a request answered by a reply, requests nested within requests."""

    def __init__(self, number: int) -> None:
        self._socket = socket.socket(fileno=number)
        self._lines = self._socket.makefile("rb")
        self.gone = False
        self.handle: Callable[[dict[str, Any]], Any] = lambda message: None

    def send(self, message: Any) -> None:
        """Send one message. Raises Gone when the other end has closed."""
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self.gone = True
            raise Gone("the program ended") from None

    def receive(self) -> dict[str, Any]:
        """The next message. Raises Gone at the end of the link or for what is not a message."""
        try:
            line = self._lines.readline(MAX_MESSAGE)
            message = json.loads(line) if line.endswith(b"\n") else None
        except (OSError, ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            self.gone = True
            raise Gone("the program ended")
        return message

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and return its reply, answering the other end's own requests meanwhile."""
        self.send(request)
        while True:
            message = self.receive()
            if "op" not in message:
                return message
            self.send(self.handle(message))
