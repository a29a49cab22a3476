"""The one HTTP client: JSON over pooled connections, with failures that say what the server said.

Built on httpx2. Connections are kept open between requests, one pool a process; threads may share it.
"""

import json
import os
import time
from functools import lru_cache
from math import inf
from typing import Any

from ringlite_cli.model_text import loads

MOST_BYTES = 1 << 28
"""An answer larger than this is refused: nothing that ringlite asks for is near it."""


class NoAnswer(Exception):
    """No usable answer came: the connection failed, the time ran out, or it was no JSON."""


class Refused(NoAnswer):
    """The server answered with an error status. code: the status. said: the start of its text."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(f"HTTP {code}" + (f": {said}" if said else ""))
        self.code, self.said = code, said


def get_json(url: str, *, key: str = "", timeout: float) -> Any:
    """GET a URL and return its JSON.

    key: a bearer token, "" for none. timeout: seconds for each of connecting, sending and waiting for more bytes.
    Raises Refused for a status of 400 and above, NoAnswer for everything else that goes wrong.
    """
    return _call("GET", url, None, key, timeout, MOST_BYTES)


def post_json(
    url: str, body: Any, *, key: str = "", timeout: float, most: int = MOST_BYTES, within: float = inf
) -> Any:
    """POST JSON and return the answer's JSON; see get_json.

    most: bytes that the answer may have. within: seconds until its last byte has to be here.
    """
    content = json.dumps(body).encode("utf-8", "replace")
    return _call("POST", url, content, key, timeout, most, within)


def answers(url: str, *, timeout: float) -> bool:
    """Return whether a GET of the URL is answered with status 200."""
    try:
        return _fetch("GET", url, None, "", timeout, MOST_BYTES)[0] == 200
    except NoAnswer:
        return False


def _call(
    method: str, url: str, content: bytes | None, key: str, timeout: float, most: int, within: float = inf
) -> Any:
    status, data = _fetch(method, url, content, key, timeout, most, within)
    if status >= 400:
        raise Refused(status, data[:300].decode("utf-8", "replace").strip())
    try:
        return loads(data)
    except (ValueError, RecursionError) as error:
        raise NoAnswer(f"the answer is no JSON: {error}") from None


def _fetch(
    method: str, url: str, content: bytes | None, key: str, timeout: float, most: int, within: float = inf
) -> tuple[int, bytes]:
    """Return (status, body). A connection that the server had closed while it was idle is opened once more."""
    import httpx2

    headers = {"Authorization": f"Bearer {key}"} if key else {}
    if content is not None:
        headers["Content-Type"] = "application/json"
    deadline = time.monotonic() + within
    for last in (False, True):
        try:
            return _read(method, url, content, headers, timeout, most, deadline)
        except httpx2.RemoteProtocolError as error:
            if last:
                raise NoAnswer(_words(error)) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, UnicodeError) as error:
            raise NoAnswer(_words(error)) from None
    raise AssertionError


def _read(
    method: str, url: str, content: bytes | None, headers: dict[str, str], timeout: float, most: int, deadline: float
) -> tuple[int, bytes]:
    with _client(os.getpid()).stream(method, url, content=content, headers=headers, timeout=timeout) as response:
        data = bytearray()
        for part in response.iter_bytes():
            data += part
            if len(data) > most:
                raise NoAnswer(f"the answer is larger than {most:,} bytes")
            if time.monotonic() > deadline:
                raise NoAnswer("the answer did not end in time")
        return response.status_code, bytes(data)


@lru_cache(maxsize=1)
def _client(process: int) -> Any:
    """The pool of a process: connections must not be shared with a child that was forked."""
    import httpx2

    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=64)
    return httpx2.Client(follow_redirects=True, limits=limits)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
