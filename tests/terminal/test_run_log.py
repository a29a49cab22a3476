"""The log file by itself: what is news, what is left out, what a full disk does."""

import os
from pathlib import Path

import pytest

from ringlite_cli.terminal.run_log import RunLog


def test_news_are_what_others_wrote_without_our_lines_and_escapes(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "run.log")
    os.write(log.descriptor, b"one\n")
    log.line("ours")
    os.write(log.descriptor, b"\x1b[31mtwo\x1b[0m\n")
    assert log.news() == "one\ntwo\n"
    log.line("ours again")
    assert log.news() == ""
    os.write(log.descriptor, b"three\n")
    assert log.news() == "three\n"


def test_lines_tell_the_time_also_those_of_one_text(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "run.log")
    log.line("first\nsecond")
    first, second = (tmp_path / "run.log").read_text().splitlines()
    assert first[:19] == second[:19]
    assert first[4] == "-"
    assert (first[20:], second[20:]) == ("first", "second")


def test_a_log_above_its_bound_loses_its_older_half_and_its_news_go_on(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "run.log", most_bytes=1000)
    for number in range(200):
        os.write(log.descriptor, f"line {number:03d}\n".encode())
    log.news()
    os.write(log.descriptor, b"after\n")
    log.trim()
    kept = (tmp_path / "run.log").read_text().splitlines()
    assert kept[0].endswith("bytes of older lines were left out]")
    assert kept[-2:] == ["line 199", "after"]
    assert all(line.startswith("line ") for line in kept[1:-1])
    assert 400 < (tmp_path / "run.log").stat().st_size < 600
    assert log.news() == "after\n"


def test_a_child_that_holds_the_descriptor_writes_behind_what_was_left_out(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "run.log", most_bytes=1000)
    childs = os.dup(log.descriptor)
    os.write(childs, b"x" * 999 + b"\n" + b"y\n")
    log.trim()
    os.write(childs, b"z\n")
    assert (tmp_path / "run.log").read_bytes().endswith(b"out]\ny\nz\n")


def test_what_is_written_while_a_log_is_cut_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = RunLog(tmp_path / "run.log", most_bytes=1000)
    os.write(log.descriptor, b"x" * 1999 + b"\n")
    plain, late = log._read, [b"late\n", b"later\n"]

    def read(start: int, end: int) -> bytes:
        found = plain(start, end)
        if late:
            os.write(log.descriptor, late.pop(0))
        return found

    monkeypatch.setattr(log, "_read", read)
    log.trim()
    assert (tmp_path / "run.log").read_bytes().endswith(b"out]\nlate\nlater\n")


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "run.log")
    os.dup2(os.open("/dev/full", os.O_RDWR), log.descriptor)
    log.line("lost")
    assert log.last_lines() == []


def test_a_log_without_a_name_leaves_no_file(tmp_path: Path) -> None:
    log = RunLog(None)
    os.write(log.descriptor, b"kept\n")
    log.line("ours")
    assert log.text().startswith(b"kept\n")
    assert log.news() == "kept\n"
