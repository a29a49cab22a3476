"""`ringlite report --live`: the report of a run on a page of this machine, made anew while the run goes.

The server answers this machine alone, reads and never writes. It hands out the page, the state of the run's files, and
the files that the page leads to: text inside the run's folder, and nothing else.
"""

import hashlib
import json
import shutil
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ringlite_cli.errors import UserError, WorkFailed
from ringlite_cli.report.build import render
from ringlite_cli.report.load import load_run
from ringlite_cli.report.pens import NO_PRICES, Prices
from ringlite_cli.report.recipe_diff import resolved
from ringlite_cli.report.sections.provenance import link_to
from ringlite_cli.runs.folder import check_is_folder

HOST = "127.0.0.1"
TEXT_FILES = {".json", ".jsonl", ".md", ".yaml", ".log", ".csv"}
_REST = 2.0
"""Seconds between two pages that are made, however often they are asked for."""
_SHARE = 10.0
"""The same in times of what a page takes to make: one of a long run reads all rollouts, and the machine has work."""
_WAITING = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="3"><title>waiting</title>'
    "<p>No stage of this run has begun yet: this page looks again every three seconds.</p></html>"
)


class LivePage:
    """The page of a run, made again when its files have changed. Several threads may ask at a time."""

    def __init__(self, run: Path, *, against: str = "", prices: Prices = NO_PRICES) -> None:
        self.run = run
        self._beside, self._prices = resolved(against) if against else None, prices
        self._lock = threading.Lock()
        self._page, self._token, self._next = "", "", 0.0

    def token(self) -> str:
        """Return what the run's files are known by: it changes when one of them does."""
        seen = hashlib.sha256()
        for file in sorted(self.run.glob("*/*")):
            if file.suffix in TEXT_FILES and not file.parent.name.startswith(".") and file.name != "pulse.json":
                try:
                    status = file.stat()
                except OSError:
                    continue
                seen.update(f"{file}\0{status.st_size}\0{status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
        return seen.hexdigest()[:16]

    def page(self) -> str:
        """Return the page of the run as it is now, or as it was a short while ago (see `_REST` and `_SHARE`)."""
        with self._lock:
            token, begun = self.token(), time.monotonic()
            if token != self._token and begun >= self._next:
                try:
                    self._page = render(load_run(self.run), beside=self._beside, prices=self._prices, live=token)
                except UserError:
                    return _WAITING
                ended = time.monotonic()
                self._token, self._next = token, ended + max(_REST, _SHARE * (ended - begun))
            return self._page or _WAITING

    def state(self) -> str:
        """Return what the page is known by that would be handed out now: a reader need not ask for the same again."""
        return self._token if self._page and time.monotonic() < self._next else self.token()

    def file(self, name: str) -> Path | None:
        """Return a text file of the run by its path from the run's folder; None for anything else."""
        hidden = any(part.startswith(".") for part in Path(name).parts)
        if hidden or Path(name).suffix not in TEXT_FILES or not link_to(self.run, name):
            return None
        return (self.run / name).resolve()


def serve(page: LivePage, port: int = 0) -> ThreadingHTTPServer:
    """Return a server of the page on this machine's own address; port 0 takes a free one. The caller runs it.

    Raises UserError where there is no such run folder, WorkFailed where the port is taken.
    """
    check_is_folder(page.run)
    try:
        return _Server((HOST, port), _handler(page))
    except OSError as error:
        hint = "give another --port, or none"
        raise WorkFailed(f"the live page cannot be served ({error.strerror}); {hint}", where=f"{HOST}:{port}") from None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a reader who went away in the middle of an answer."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def _handler(page: LivePage) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def _answer(self, *, body: bool) -> None:
            # Another site that makes its name mean this machine is refused: it could read the page else.
            if self.headers.get("Host", "").rpartition(":")[0] not in (HOST, "localhost"):
                self._head(HTTPStatus.FORBIDDEN, "text/plain", 0)
                return
            path = unquote(urlsplit(self.path).path)
            if path in ("/", "/state"):
                text = page.page() if path == "/" else json.dumps({"token": page.state()})
                found = text.encode()
                self._head(HTTPStatus.OK, "text/html" if path == "/" else "application/json", len(found))
                if body:
                    self.wfile.write(found)
                return
            file = page.file(path.lstrip("/"))
            if file is None:
                self._head(HTTPStatus.NOT_FOUND, "text/plain", 0)
                return
            self._file(file, body=body)

        def _file(self, file: Path, *, body: bool) -> None:
            with file.open("rb") as rows:
                self._head(HTTPStatus.OK, "text/plain", None)
                if body:
                    shutil.copyfileobj(rows, self.wfile)

        def _head(self, status: HTTPStatus, kind: str, length: int | None) -> None:
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            if length is not None:  # a file may grow while it is sent: it ends where the connection does
                self.send_header("Content-Length", str(length))
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the terminal is the user's."""

    return Handler
