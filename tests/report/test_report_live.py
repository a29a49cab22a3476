"""The live page: it follows the run, answers this machine alone, and hands out nothing but the run's text files."""

import json
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from make_run import make_run, put_rows

from ringlite_cli.errors import UserError, WorkFailed
from ringlite_cli.report import live
from ringlite_cli.report.live import LivePage, serve


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_run(tmp_path_factory.mktemp("live") / "demo", rl_steps=4, sft_steps=6)
    (folder.parent / "secret.json").write_text('{"secret": 1}')
    (folder / "eval" / "away.json").symlink_to(folder.parent / "secret.json")
    (folder / "eval" / "weights.safetensors").write_bytes(b"weights")
    (folder / ".previous").mkdir()
    (folder / ".previous" / "old.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def port(run: Path) -> Iterator[int]:
    server = serve(LivePage(run))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def ask(port: int, path: str, method: str = "GET", host: str = "") -> tuple[int, bytes, dict[str, str]]:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{port}")
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, answer.read(), dict(answer.getheaders())
    connection.close()
    return found


def test_the_page_is_the_report_and_follows_the_run(run: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_REST", 0.0)
    monkeypatch.setattr(live, "_SHARE", 0.0)
    status, page, headers = ask(port, "/")
    before = json.loads(ask(port, "/state")[1])["token"]
    assert status == 200
    assert f'data-live="{before}"' in page.decode()
    assert "connect-src 'self'" in page.decode()
    assert headers["Cache-Control"] == "no-store"
    with (run / "rl-mixed" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "reward": 0.987}\n')
    after = json.loads(ask(port, "/state")[1])["token"]
    assert after != before
    assert "0.987" in ask(port, "/")[1].decode()


def test_the_files_that_the_page_leads_to_are_handed_out_as_text(run: Path, port: int) -> None:
    status, found, headers = ask(port, "/eval/scores.json")
    assert (status, found) == (200, (run / "eval" / "scores.json").read_bytes())
    assert headers["Content-Type"].startswith("text/plain")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert ask(port, "/eval/scores.json", "HEAD")[:2] == (200, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.json",
        "/%2e%2e/secret.json",
        "/eval/../../secret.json",
        "/eval/%2e%2e%2f%2e%2e%2fsecret.json",
        "//etc/hostname",
        "/eval/away.json",
        "/eval/weights.safetensors",
        "/.previous/old.json",
        "/eval",
        "/eval/nothing.json",
        "/eval/scores.json%00",
    ],
)
def test_nothing_else_is_handed_out(port: int, path: str) -> None:
    assert ask(port, path)[:2] == (404, b"")


def test_other_names_of_this_machine_and_other_methods_are_refused(port: int) -> None:
    assert ask(port, "/", host="evil.example:80")[:2] == (403, b"")
    assert ask(port, "/", host=f"localhost:{port}")[0] == 200
    assert {ask(port, "/", method)[0] for method in ("POST", "PUT", "DELETE")} == {501}


def test_a_run_that_has_not_begun_is_waited_for(tmp_path: Path) -> None:
    assert "No stage of this run has begun" in LivePage(tmp_path).page()
    put_rows(tmp_path / "sft", "metrics.jsonl", [{"step": 1, "loss": 3.0}])
    page = LivePage(tmp_path)
    assert "Supervised fine-tuning" in page.page()


def test_what_cannot_be_served_is_said(run: Path, port: int, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such run folder"):
        serve(LivePage(tmp_path / "nowhere"))
    with pytest.raises(WorkFailed, match="cannot be served"):
        serve(LivePage(run), port)


def test_a_page_that_takes_long_is_made_seldom(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock of which a page takes 3 s: the next is made 30 s after it, whatever the run writes."""
    now, made = [100.0], []

    def slow(*_: object, **__: object) -> str:
        now[0] += 3.0
        made.append(now[0])
        return f"page {len(made)}"

    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(live, "render", slow)
    page = LivePage(run)
    assert page.page() == "page 1"
    for later, expected in ((5.0, "page 1"), (24.0, "page 1"), (2.0, "page 2")):
        now[0] += later
        with (run / "rl-math" / "metrics.jsonl").open("a") as file:
            file.write("{}\n")
        before = page.state()
        assert page.page() == expected
        assert page.state() == before, "a reader is sent for a page that is not there yet"
