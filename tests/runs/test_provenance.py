"""What a manifest says of where ringlite came from."""

import json
from importlib.metadata import Distribution
from pathlib import Path

import pytest

from ringlite_cli.runs import provenance

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("noted", "commit"),
    [
        ({"url": "https://host/ringlite", "vcs_info": {"vcs": "git", "commit_id": COMMIT}}, COMMIT[:12]),
        ({"url": "file:///w.whl", "archive_info": {}}, ""),
        (None, ""),
    ],
)
def test_the_commit_of_a_git_url_is_known(
    noted: dict[str, object] | None, commit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "ringlite-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.4\nName: ringlite\nVersion: 1.0\n")
    if noted is not None:
        (info / "direct_url.json").write_text(json.dumps(noted))
    monkeypatch.syspath_prepend(tmp_path)
    assert Distribution.from_name("ringlite").version == "1.0"
    assert provenance._commit_of_url() == "", "the ringlite that runs is not the one that was installed from there"
    monkeypatch.setattr(provenance, "PACKAGE", (tmp_path / "ringlite_cli").resolve())
    assert provenance._commit_of_url() == commit
