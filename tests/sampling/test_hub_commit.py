"""Which commit of a hub id a load takes, told from the cache where the hub is not asked."""

from pathlib import Path

import pytest
from huggingface_hub import constants

from ringlite_cli.sampling.load import hub_commit


def test_the_commit_of_a_hub_id_is_that_of_its_cached_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = tmp_path / "models--owner--name"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    (folder / "snapshots" / commit).mkdir(parents=True)
    (folder / "snapshots" / commit / "config.json").write_text("{}")
    assert hub_commit("owner/name") == commit
    assert hub_commit("owner/other") is None
    assert hub_commit("~/models/name") is None
    assert hub_commit(tmp_path) is None
