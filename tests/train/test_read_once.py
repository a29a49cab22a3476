"""Which ranks read weights: one of a machine in the block that says so, all outside of it."""

import os
from pathlib import Path

import pytest
from tiny_lm import save_policy

from ringlite_cli.c3po import row_path
from ringlite_cli.runs.sharding import READ_ONCE
from ringlite_cli.train.read_once import copy_in_small, is_read_once, read_once


@pytest.mark.parametrize("before", ["true", "false", None])
def test_weights_are_read_once_in_the_block_alone(monkeypatch: pytest.MonkeyPatch, before: str | None) -> None:
    monkeypatch.setenv(READ_ONCE, "")  # so that it is put back
    monkeypatch.delenv(READ_ONCE)
    if before:
        os.environ[READ_ONCE] = before
    with read_once(True):
        assert is_read_once()
    assert not is_read_once()
    with read_once(False):
        assert not is_read_once()
    with pytest.raises(ZeroDivisionError), read_once(True):
        raise ZeroDivisionError
    assert not is_read_once()


def test_every_rank_reads_what_cannot_be_tried_in_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = save_policy(tmp_path, "qwen3")
    assert copy_in_small(policy) is not None
    monkeypatch.setattr(row_path, "shrunk", lambda *_: None)
    assert copy_in_small(policy) is None
