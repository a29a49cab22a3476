"""What a run shows and keeps, through the real command: piped, on terminals, stopped, crashed."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from terminals import Done, Picture, environment, noisy, on_terminal, piped, write_recipe

from ringlite_cli.terminal.run_log import MOST_BYTES

pytestmark = pytest.mark.slow  # a process with ringlite's imports for each

NOISES = ("python stdout", "python stderr", "descriptor 1", "descriptor 2", "C stdout", "a child", "a UserWarning",
          "logged by a library", "printed as the process ends")  # fmt: skip
COLOURS = re.compile(r"\x1b\[[\d;]*(?:3\d|4\d|9\d)(?:;[\d;]*)?m")
STAMPED = re.compile(r"\d\d:\d\d:\d\d ")


def run_log(folder: Path) -> str:
    return (folder / "runs" / "walk" / "run.log").read_text(errors="replace")


def untimed(lines: list[str]) -> list[str]:
    """Lines without times of day and seconds."""
    return [re.sub(r"\(\d+ s\)", "(N s)", STAMPED.sub("", line)) for line in lines]


class Walk:
    """A folder with a recipe of three stages, whose work is noisy_run.py's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_recipe(folder)

    def piped(self, noise: str, *words: str, **env: str) -> Done:
        return piped(noisy("run", "walk.yaml", *words), self.folder, environment(noise, **env))

    def on_terminal(self, noise: str, columns: int, **env: str) -> Done:
        stop = self.folder / "holding" if noise == "hold" else None
        return on_terminal(noisy("run", "walk.yaml"), self.folder, environment(noise, **env), columns, stop)


@pytest.fixture
def walk(tmp_path: Path) -> Walk:
    return Walk(tmp_path)


@pytest.fixture(scope="module")
def noisy_walk(tmp_path_factory: pytest.TempPathFactory) -> tuple[Walk, Done]:
    """A run through pipes whose stages print in every way; sft is silent for seconds."""
    walk = Walk(tmp_path_factory.mktemp("noisy"))
    return walk, walk.piped("noise,slow,warn")


def test_a_piped_run_shows_its_own_lines_alone(noisy_walk: tuple[Walk, Done]) -> None:
    _, done = noisy_walk
    assert done.code == 0, done.all
    assert not [noise for noise in NOISES if noise in done.all]
    assert untimed(done.out.splitlines()) == [
        "[1/3] curate: clean, verify and split the problems",
        "  curate is through (N s) -> runs/walk/curate",
        "[2/3] sft: Long-CoT SFT on worked traces",
        "  sft is through (N s) -> runs/walk/sft",
        "[3/3] select: pick the SFT checkpoint to start RL from by its entropy",
        "  select is through (N s) -> runs/walk/select",
        "report: runs/walk/report.html",
    ]
    assert "\x1b" not in done.all
    assert "warning: our own warning" in done.err


def test_a_run_is_never_silent_for_long(noisy_walk: tuple[Walk, Done]) -> None:
    """sft sleeps for seven seconds without a word."""
    _, done = noisy_walk
    times = [when for when, _, _ in done.seen]
    assert max(b - a for a, b in pairwise(times)) < 7
    assert re.search(r"sft: still at work after \d+ s \(note 4\)", done.err)


def test_the_log_keeps_what_was_said_and_what_libraries_printed(noisy_walk: tuple[Walk, Done]) -> None:
    walk, done = noisy_walk
    kept = run_log(walk.folder)
    for stage in ("curate", "sft", "select"):
        for noise in NOISES[:-1]:
            assert f"{noise} in {stage} step 1" in kept
    assert kept.endswith(f"{NOISES[-1]}\n")
    ours = [line[20:] for line in kept.splitlines() if re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line)]
    shown = [STAMPED.sub("", line.rstrip("\n")) for _, _, line in done.seen[1:]]
    assert sorted(ours) == sorted(shown)


def test_a_verbose_rerun_shows_libraries_on_stderr_and_appends_to_the_log(noisy_walk: tuple[Walk, Done]) -> None:
    walk, _ = noisy_walk
    before = run_log(walk.folder)
    done = walk.piped("noise", "--from", "sft", "--to", "sft", "--fresh", "--verbose")
    assert done.code == 0, done.all
    assert not [noise for noise in NOISES if noise in done.out]
    for noise in NOISES[:-1]:
        assert done.err.count(f"{noise} in sft step 2") == 1, noise
    assert done.err.endswith(f"{NOISES[-1]}\n")
    assert done.err.count("sft 4/4") == 1
    after = run_log(walk.folder)
    assert after.startswith(before)
    assert after.count("---- ") == 2


def test_bars_and_text_never_collide_on_a_terminal(walk: Walk) -> None:
    done = walk.on_terminal("noise,warn", 100)
    assert done.code == 0, done.out
    assert "━" in done.out
    assert COLOURS.search(done.out)
    assert untimed(Picture(100).feed(done.out).lines) == [
        "ringlite 0.1.0 run",
        "walk: curate, sft, select; first a look at the model, the data and this machine",
        "log: runs/walk/run.log",
        "[1/3] curate: clean, verify and split the problems",
        "  curate is through (N s) -> runs/walk/curate",
        "[2/3] sft: Long-CoT SFT on worked traces",
        "warning: our own warning",
        "  sft is through (N s) -> runs/walk/sft",
        "[3/3] select: pick the SFT checkpoint to start RL from by its entropy",
        "  select is through (N s) -> runs/walk/select",
        "report: runs/walk/report.html",
    ]
    assert done.out.count("\x1b[?25l") == done.out.count("\x1b[?25h") > 0
    assert "descriptor 2 in sft" in run_log(walk.folder)


def test_a_narrow_terminal_without_colour_is_readable(walk: Walk) -> None:
    done = walk.on_terminal("noise", 40, NO_COLOR="1")
    assert done.code == 0, done.out
    assert not COLOURS.search(done.out)
    assert "select" in re.sub(r"\x1b\[[\d;]*m", "", done.out)
    text = "".join(Picture(40).feed(done.out).lines)
    assert "pick the SFT checkpoint to start RL from by its entropy" in text
    assert "4/4" not in text  # no row of a bar is left behind


def test_a_dumb_terminal_gets_lines(walk: Walk) -> None:
    done = walk.on_terminal("", 80, TERM="dumb")
    assert done.code == 0, done.out
    assert "\x1b" not in done.out
    assert "select 4/4 after" in done.out


def test_ctrl_c_leaves_a_whole_screen_and_a_last_line_in_the_log(walk: Walk) -> None:
    done = walk.on_terminal("hold", 100)
    assert done.code == 130
    last = "error: sft stopped by the user; the same command goes on"
    assert Picture(100).feed(done.out).lines[-1] == last
    assert done.out.count("\x1b[?25l") == done.out.count("\x1b[?25h") > 0
    assert run_log(walk.folder).splitlines()[-2].endswith(last)
    assert "Traceback" not in done.out


def test_a_crash_of_a_quiet_run_shows_its_traceback_and_the_end_of_a_bounded_log(walk: Walk) -> None:
    done = walk.piped("flood,crash", "--quiet")
    assert done.code == 1
    assert done.out == ""
    told, _, traceback = done.err.partition("Traceback (most recent call last):")
    assert told.startswith("error: a bug in ringlite, or in a library; the last lines of runs/walk/run.log:")
    assert told.rstrip().endswith("the library's last words")
    assert "\nZeroDivisionError: planted bug\n" in traceback
    assert max(map(len, told.splitlines())) < 400
    kept = run_log(walk.folder)
    assert "ZeroDivisionError: planted bug" in kept
    assert kept.startswith("[")
    assert "bytes of older lines were left out]" in kept[:100]
    assert len(kept) < MOST_BYTES + 2**20


def test_c_code_that_ends_the_process_leaves_a_stack_on_the_terminal_and_its_words_in_the_log(walk: Walk) -> None:
    done = walk.piped("abort")
    assert done.code == -6
    assert "log: runs/walk/run.log" in done.err
    assert "Fatal Python error: Aborted" in done.err
    assert "in misbehave" in done.err
    assert "terminate called after throwing an instance of 'c10::Error'" in run_log(walk.folder)
    again = walk.piped("")
    assert again.code == 0, again.all
    assert "was killed, or the machine went down; runs/walk/run.log ends with what it said last" in again.err


def test_json_is_all_that_stands_on_stdout(walk: Walk) -> None:
    (walk.folder / "bad.yaml").write_text("name: bad\nstages: {sft: {kind: sft, dat: x}}\n")
    for words, code in ((["check", "walk.yaml"], 0), (["check", "bad.yaml"], 2), (["check"], 2), (["check", "-x"], 2)):
        done = piped(noisy(*words, "--json"), walk.folder, environment())
        assert done.code == code, done.all
        told = json.loads(done.out)
        assert ("error" in told) == (code == 2)
        if code:
            assert told["error"]["exit_code"] == 2
            assert told["error"]["message"]
    assert told["format"] == 1
