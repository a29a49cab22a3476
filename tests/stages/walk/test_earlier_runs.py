"""A run that ringlite 0.1.0 made (commit 1b2860f) is taken up: what is done stays, what was interrupted goes on.

`run_of_0_1_0` holds the manifests of such a run of the toy recipe, rl-math stopped at step 6 of 40. Its files are
replaced by tiny ones here, under digests of their own.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ringlite_cli.console import Console
from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.runs.files import digest, read_json, write_json
from ringlite_cli.stages.base import Context, StageResult
from ringlite_cli.stages.kinds import KINDS
from ringlite_cli.stages.walk import pipeline
from ringlite_cli.stages.walk.decide import Walk

MANIFESTS = Path(__file__).parent / "run_of_0_1_0"
STAGES = ("curate", "sft", "select", "rl-math")
LONG = ("stages.rl-math.trl.max_steps=40", "stages.rl-math.trl.save_steps=2")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run's folder, with tiny files in place of its outputs."""
    folder = tmp_path / "runs" / "toy"
    manifests = {stage: (MANIFESTS / f"{stage}.json").read_text() for stage in STAGES}
    digests = {}
    for text in manifests.values():
        for entry in json.loads(text)["outputs"].values():
            path = folder / entry["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(entry["digest"])
            digests[entry["digest"]] = digest(path)
    for stage, text in manifests.items():
        for old, new in digests.items():
            text = text.replace(old, new)
        write_json(folder / stage / "manifest.json", json.loads(text))
    write_json(folder / "rl-math" / "checkpoints" / "checkpoint-6" / "ringlite_seal.json", {"ranks": 1, "files": {}})
    for name, kind in KINDS.items():
        monkeypatch.setitem(KINDS, name, replace(kind, run=work, preflight=tuple))
    return folder


def work(context: Context) -> StageResult:
    (context.folder / "worked").touch()
    return StageResult(outputs={"policy": context.folder / "worked"})


def walked(run: Path, *changes: str) -> list[str]:
    walk = Walk(STAGES)
    pipeline.run_pipeline(load_recipe("toy", changes), run, walk, Console())
    return [stage for stage in STAGES if (run / stage / "worked").exists()]


def test_what_is_done_is_kept_and_the_interrupted_stage_goes_on(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert walked(run, *LONG) == ["rl-math"]
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("kept: made by ringlite 0.1.0 (commit 1b2860f8db68)") == 3
    assert "duplicates.words is not set" in said, "a default that changed since is told, and reruns nothing"
    assert (run / "rl-math" / "checkpoints" / "checkpoint-6").is_dir()
    (entry,) = read_json(run / "rl-math" / "manifest.json")["changes"]
    assert entry["step"] == 6
    assert not (run / ".previous").exists()


def test_a_default_that_changed_counts_where_the_recipe_sets_it(run: Path) -> None:
    with pytest.raises(Exception, match="is interrupted after step 6"):
        walked(run, *LONG, "stages.rl-math.trl.beta=0.5")
    assert "curate" in walked(run, *LONG, "stages.curate.duplicates={words: false}")
