"""Lines of progress, and a screen without a session."""

import io
import time
from pathlib import Path

import pytest

from ringlite_cli.console import Console
from ringlite_cli.terminal import bars
from ringlite_cli.terminal import screen as screen_module
from ringlite_cli.terminal.bars import Lines
from ringlite_cli.terminal.screen import Screen, log_to, screen


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(bars.time, "monotonic", found)
    return found


def test_lines_come_every_few_seconds_and_rarer_later(clock: Clock) -> None:
    said: list[str] = []
    lines = Lines(said.append, "rl", 1000)
    times = []
    for second in range(200):
        clock.now = float(second)
        before = len(said)
        lines.update(second, 1000)
        times += [second] * (len(said) - before)
    assert times == [*range(5, 60, 5), *range(70, 200, 15)]
    lines.end()
    assert said[-1] == "rl 199/1000 after 199 s"


def test_another_part_of_the_work_is_told_at_once_but_not_every_moment(clock: Clock) -> None:
    said: list[str] = []
    lines = Lines(said.append, "curate", 1)
    for number, (done, note) in enumerate([(1, "reading"), (5, "reading"), (0, "sorting"), (4, "sorting")]):
        clock.now = 2.0 * number
        lines.update(done, 5, note)
    assert said == ["curate 0/5 after 4 s: sorting"]


def test_what_is_said_before_the_log_is_there_comes_first_in_it(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    console = Console()
    with log_to(tmp_path / "run.log", "a title"):
        console.say("inside")
        screen().tell_whole("about 1 min left of the run")
        with console.progress("work", 2) as bar:
            bar.update(2)
    console.say("outside")
    said = capsys.readouterr()
    assert [line[9:] for line in said.out.splitlines()[:1]] == ["inside"]
    assert said.out.splitlines()[1] == "outside"
    assert said.err.rstrip().endswith("work 2/2 after 0 s; about 1 min left of the run")
    kept = (tmp_path / "run.log").read_text().splitlines()
    assert kept[0].endswith(" a title")
    assert [line[20:] for line in kept[1:]] == ["inside", "work 2/2 after 0 s; about 1 min left of the run"]


def test_a_folder_that_is_gone_costs_the_log_alone(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with log_to(tmp_path / "gone" / "run.log", "a title"):
        Console().say("still said")
    assert "still said" in capsys.readouterr().out


def test_a_reader_that_goes_away_does_not_end_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", Gone())
    Console().say("to nobody")


def test_an_update_that_was_held_back_is_written_once(clock: Clock) -> None:
    said: list[str] = []
    lines = Lines(said.append, "rl", 10)
    clock.now = 3.0
    lines.update(1, 10, "reward 0.5")
    assert not said
    assert [lines.catch_up(), lines.catch_up()] == [True, False]
    lines.end()
    assert said == ["rl 1/10 after 3 s: reward 0.5"]


def test_work_that_tells_its_progress_is_not_said_to_be_still_at_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for module in (bars, screen_module):
        monkeypatch.setattr(module, "FIRST", 0.1)
    monkeypatch.setattr(screen_module, "_POLL", 0.01)
    shown = Screen()
    with shown.life("rl"), shown.progress("rl", 100) as bar:
        for step in range(12):
            bar.update(step, 100, f"reward {step}")
            time.sleep(0.06)
        time.sleep(0.3)
    lines = capsys.readouterr().err.splitlines()
    at_work = [number for number, line in enumerate(lines) if "still at work" in line]
    assert len(lines) > 4
    assert at_work, "the pause at the end is told"
    assert all("(reward 11)" in lines[number] for number in at_work)
