"""The one HTTP client: JSON over pooled connections, with failures that say what the server said.

Built on httpx2. Connections are kept open between requests, one pool a process; threads may share it.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from math import inf
from typing import Any

from ringlite_cli.model_text import loads

MOST_BYTES = 1 << 28
"""An answer larger than this is refused: nothing that ringlite asks for is near it."""


class NoAnswer(Exception):
    """Raised where no usable answer came: the connection failed, the time ran out, or it was no JSON."""


class Refused(NoAnswer):
    """The server answered with an error status. code: the status. said: the start of its text.

    wait: seconds that it asks to wait before the next request (Retry-After); None where it says nothing.
    """

    def __init__(self, code: int, said: str, wait: float | None = None) -> None:
        super().__init__(f"HTTP {code}" + (f": {said}" if said else ""))
        self.code, self.said, self.wait = code, said, wait


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


def post_events(url: str, body: Any, *, key: str = "", timeout: float) -> Iterator[Any]:
    """POST JSON and yield the JSON of each server-sent event as it comes, until `[DONE]`.

    The connection is closed where the caller leaves the iterator. timeout: seconds that the server may be silent.
    Raises Refused for a status of 400 and above, NoAnswer for everything else that goes wrong.
    """
    import httpx2

    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    content = json.dumps(body).encode("utf-8", "replace")
    try:
        with _client(os.getpid()).stream("POST", url, content=content, headers=headers, timeout=timeout) as response:
            if response.status_code >= 400:
                said = response.read()[:300].decode("utf-8", "replace").strip()
                raise Refused(response.status_code, said)
            for data in _events(response.iter_bytes()):
                if data == b"[DONE]":
                    return
                yield loads(data)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, UnicodeError) as error:
        raise NoAnswer(_words(error)) from None
    except (ValueError, RecursionError) as error:
        raise NoAnswer(f"an event is no JSON: {error}") from None


def _events(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The data of server-sent events of one line each. Only a line feed ends a line: text may hold other line ends."""
    begun = b""
    for part in parts:
        *lines, begun = (begun + part).split(b"\n")
        for line in lines:
            name, _, data = line.partition(b":")
            if name == b"data" and data.strip():
                yield data.strip()


def answers(url: str, *, timeout: float) -> bool:
    """Return whether a GET of the URL is answered with status 200."""
    try:
        return _fetch("GET", url, None, "", timeout, MOST_BYTES)[0] == 200
    except NoAnswer:
        return False


def _call(
    method: str, url: str, content: bytes | None, key: str, timeout: float, most: int, within: float = inf
) -> Any:
    status, data, wait = _fetch(method, url, content, key, timeout, most, within)
    if status >= 400:
        raise Refused(status, data[:300].decode("utf-8", "replace").strip(), wait)
    try:
        return loads(data)
    except (ValueError, RecursionError) as error:
        raise NoAnswer(f"the answer is no JSON: {error}") from None


def _fetch(
    method: str, url: str, content: bytes | None, key: str, timeout: float, most: int, within: float = inf
) -> tuple[int, bytes, float | None]:
    """Return (status, body, seconds to wait). A connection that was closed while it was idle is opened once more."""
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
) -> tuple[int, bytes, float | None]:
    with _client(os.getpid()).stream(method, url, content=content, headers=headers, timeout=timeout) as response:
        data = bytearray()
        for part in response.iter_bytes():
            data += part
            if len(data) > most:
                raise NoAnswer(f"the answer is larger than {most:,} bytes")
            if time.monotonic() > deadline:
                raise NoAnswer("the answer did not end in time")
        return response.status_code, bytes(data), _seconds(response.headers.get("retry-after"))


def _seconds(told: str | None) -> float | None:
    """The seconds of a Retry-After header; None for none, and for a date."""
    return float(told) if told and told.strip().isdecimal() else None


@lru_cache(maxsize=1)
def _client(process: int) -> Any:
    """The pool of a process: connections must not be shared with a child that was forked."""
    import httpx2

    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=64)
    return httpx2.Client(follow_redirects=True, limits=limits)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
