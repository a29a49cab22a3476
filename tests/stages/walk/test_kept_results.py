"""Nothing that was paid for is lost: old results are kept by what they are, taken back, and freed on request alone.

The stages are real `StageKind`s with small runners that write a checkpoint, so that the walk itself is tested.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from small_walks import RL, run_in_stages, small_recipe
from sweeps import sample_of

from ringlite_cli.console import Console
from ringlite_cli.errors import Interrupted, UserError
from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.runs.files import read_json, write_json
from ringlite_cli.runs.manifest import Manifest, read_manifest
from ringlite_cli.runs.previous import kept_results
from ringlite_cli.stages.base import Context, StageResult
from ringlite_cli.stages.commands.clean import clean_run
from ringlite_cli.stages.kinds import KINDS
from ringlite_cli.stages.walk import pipeline
from ringlite_cli.stages.walk.decide import Walk

RATE, STEPS = "stages.rl.trl.learning_rate={}", "stages.rl.trl.max_steps={}"


class Lines(Console):
    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def say(self, line: str) -> None:
        self.text += line + "\n"

    head = warn = say


class Walks:
    """Walks the recipe; `stop_at` interrupts the RL stage there, after a checkpoint."""

    def __init__(self, folder: Path) -> None:
        self.worked: list[str] = []
        self.folder, self.stop_at = folder, 0
        (folder / "r.yaml").write_text(small_recipe(RL, name="keep"))

    def __call__(self, *changes: str, name: str = "keep", **how) -> list[str]:
        self.worked.clear()
        self.console = Lines()
        recipe = load_recipe(str(self.folder / "r.yaml"), [f"name={name}", *changes])
        donors = [run for run in sorted((self.folder / "runs").glob("*")) if run.name != name]
        walk = Walk(list(recipe.stages), donors=donors, **how)
        pipeline.run_pipeline(recipe, self.folder / "runs" / name, walk, self.console)
        return list(self.worked)

    def interrupted(self, *changes: str, at: int = 9, **how) -> list[str]:
        self.stop_at = at
        with pytest.raises(Interrupted):
            self(*changes, **how)
        self.stop_at = 0
        return list(self.worked)

    @property
    def run(self) -> Path:
        return self.folder / "runs" / "keep"

    def work(self, context: Context) -> StageResult:
        self.worked.append(context.name)
        folder = context.folder
        if context.section.kind == "rl":
            old = folder / "checkpoints"
            begun = max((int(p.name[11:]) for p in old.glob("checkpoint-*")), default=0)
            self.began_at = begun
            sealed = old / f"checkpoint-{self.stop_at or 12}" / "ringlite_seal.json"
            write_json(sealed, {"ranks": 1, "files": {}})
            if self.stop_at:
                raise Interrupted(f"stopped after step {self.stop_at}")
        path = folder / "out.txt"
        path.write_text(json.dumps(context.section.objective(), sort_keys=True))
        return StageResult(outputs=dict.fromkeys(["traces", "math", "policy"], path), summary="worked")


@pytest.fixture
def walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Walks:
    walks = Walks(tmp_path)
    run_in_stages(monkeypatch, walks.work)
    return walks


def checkpoints(run: Path) -> set[str]:
    """All checkpoints that lie anywhere in a run."""
    return {path.parent.name for path in run.rglob("ringlite_seal.json")}


def test_there_and_back_again_works_once(walk: Walks) -> None:
    walk(RATE.format(1e-5))
    assert walk(RATE.format(2e-5)) == ["rl"]
    assert walk(RATE.format(3e-5)) == ["rl"]
    for rate in (1e-5, 2e-5, 3e-5):
        assert walk(RATE.format(rate)) == []
        assert f'"learning_rate": {rate}' in (walk.run / "rl" / "out.txt").read_text()
    assert "taken back from" in walk.console.text
    assert len(kept_results(walk.run, "rl")) == 2


def test_fresh_keeps_what_it_replaces_every_time(walk: Walks) -> None:
    walk()
    for _ in range(3):
        assert walk(fresh=True) == ["curate", "sft", "rl"]
    assert len(kept_results(walk.run, "rl")) == 3


def test_a_result_is_taken_over_from_another_run_and_from_its_old_ones(walk: Walks) -> None:
    walk(RATE.format(1e-5))
    walk(RATE.format(2e-5))
    assert walk(RATE.format(1e-5), name="other") == []
    assert (walk.folder / "runs" / "other" / "rl" / "out.txt").read_text() != (walk.run / "rl" / "out.txt").read_text()


def test_an_interrupted_stage_is_refused_with_both_ways_on(walk: Walks) -> None:
    walk.interrupted()
    before = sorted(walk.run.rglob("*"))
    with pytest.raises(UserError) as refused:
        walk(RATE.format(5e-6))
    text = str(refused.value)
    assert refused.value.exit_code == 2
    for part in ("after step 9", "trl.learning_rate (1e-05 -> 5e-06)", "--go-on", "--from rl --fresh"):
        assert part in text
    assert sorted(walk.run.rglob("*")) == before
    assert walk() == ["rl"]
    assert walk.began_at == 9


def test_going_on_marks_the_step_and_the_values(walk: Walks) -> None:
    walk.interrupted()
    assert walk(RATE.format(5e-6), go_on=True) == ["rl"]
    assert walk.began_at == 9
    (entry,) = read_json(walk.run / "rl" / "manifest.json")["changes"]
    assert entry == {"step": 9, "keys": {"trl.learning_rate": [1e-5, 5e-6]}}
    assert walk(RATE.format(5e-6)) == []
    assert walk(RATE.format(5e-6), name="pure") == ["rl"], "a mixed result is no other run's"


def test_more_steps_just_go_on(walk: Walks) -> None:
    walk.interrupted()
    assert walk(STEPS.format(16)) == ["rl"]
    assert walk.began_at == 9


def test_more_steps_under_a_schedule_say_what_becomes_of_the_rate(walk: Walks) -> None:
    cosine = "stages.rl.trl.lr_scheduler_type=cosine"
    walk.interrupted(cosine)
    walk(cosine, STEPS.format(16))
    assert "the cosine schedule of the learning rate is now that of the new length" in walk.console.text


FIXED = {
    "seed": "seed=99",
    "model.dtype": "model.dtype=float32",
    "lora.r": "stages.rl.lora={r: 4}",
    "prompts_per_step": "stages.rl.prompts_per_step=4",
    "data": "stages.rl.data=curate.traces",
}


@pytest.mark.parametrize("key", sample_of(FIXED, "seed", "lora.r", "data"))
def test_keys_that_cannot_go_on_say_so(walk: Walks, key: str) -> None:
    walk.interrupted()
    with pytest.raises(UserError, match=r"can't go on from its checkpoint with another .*") as refused:
        walk(FIXED[key], go_on=True)
    assert key in str(refused.value)
    assert "checkpoint-9" in checkpoints(walk.run)


def test_beginning_again_keeps_the_checkpoints_and_the_old_values_go_on_from_them(walk: Walks) -> None:
    walk.interrupted()
    walk(RATE.format(5e-6), fresh=True)
    assert checkpoints(walk.run) == {"checkpoint-9", "checkpoint-12"}
    assert walk() == ["rl"]
    assert walk.began_at == 9


OPERATIONAL = (
    *(f"stages.rl.trl.{field}" for field in ("save_steps=3", "save_total_limit=5", "logging_first_step=true")),
    *("stages.rl.engine_timeout=60", "stages.rl.sync_tolerance=0.3", "rewards.workers=5", "note=hello"),
    *(
        "stages.rl.guard={not_finite: {action: pause}, reward: {drop: 0.7}}",
        "stages.rl.guard=null",
        "engine.gpu_memory_utilization=0.5",
    ),
)


@pytest.mark.parametrize(
    "change",
    sample_of(
        OPERATIONAL, "stages.rl.trl.save_steps=3", "stages.rl.sync_tolerance=0.3", "note=hello", "stages.rl.guard=null"
    ),
)
def test_an_operational_key_reruns_and_restarts_nothing(walk: Walks, change: str) -> None:
    paused = "stages.rl.guard={not_finite: {action: log}}"
    walk.interrupted(paused)
    changes = (change,) if change.startswith("stages.rl.guard") else (paused, change)
    assert walk(*changes) == ["rl"]
    assert walk.began_at == 9
    assert walk(paused) == []


def of_other_code(run: Path, stage: str) -> None:
    manifest = read_json(run / stage / "manifest.json")
    manifest["versions"] |= {"code": "another", "ringlite": "0.0.9"}
    write_json(run / stage / "manifest.json", manifest)


def test_a_package_upgrade_throws_nothing_away_and_says_so(walk: Walks) -> None:
    walk.interrupted()
    for stage in ("curate", "sft", "rl"):
        of_other_code(walk.run, stage)
    assert walk() == ["rl"]
    assert walk.began_at == 9
    assert "kept: made by ringlite 0.0.9" in walk.console.text
    assert "--from sft --fresh remakes it" in walk.console.text
    assert "it began with ringlite 0.0.9" in walk.console.text
    (entry,) = read_json(walk.run / "rl" / "manifest.json")["changes"]
    assert "ringlite 0.0.9" in entry["made_by"]


def test_a_set_that_a_stage_does_not_read_does_not_rerun_it(walk: Walks) -> None:
    def in_sets(context: Context) -> StageResult:
        walk.worked.append(context.name)
        found = {}
        for name, wanted in context.section.sets.items():
            found[name] = context.folder / f"{name}.txt"
            found[name].write_text(str(wanted))
        return StageResult(outputs=found)

    KINDS["curate"] = replace(KINDS["curate"], run=in_sets)
    assert walk() == ["curate", "sft", "rl"]
    assert walk("stages.curate.sets.math={traces: true}") == ["curate", "rl"]
    assert walk("stages.curate.sets.more={}") == ["curate"], "math is as it was, and its policy is taken back"


def test_the_old_layout_of_kept_results_is_listed_taken_back_and_never_overwritten(walk: Walks) -> None:
    walk(RATE.format(1e-5))
    old = walk.run / ".previous" / "rl"
    old.parent.mkdir()
    (walk.run / "rl").rename(old)
    walk(RATE.format(2e-5))
    walk(RATE.format(3e-5))
    assert len(kept_results(walk.run, "rl")) == 2
    assert walk(RATE.format(1e-5)) == []


def test_cleaning_lists_sizes_and_frees_only_when_asked(walk: Walks) -> None:
    for rate in (1e-5, 2e-5, 3e-5):
        walk(RATE.format(rate))
    console = Lines()
    clean_run(walk.run, console)
    assert "MiB" in console.text
    assert "checkpoints up to step 12" in console.text
    assert len(kept_results(walk.run)) == 2
    clean_run(walk.run, console, keep=1)
    assert len(kept_results(walk.run)) == 1
    clean_run(walk.run, console, keep=0)
    assert kept_results(walk.run) == []
    assert walk(RATE.format(3e-5)) == [], "what stands is left alone"


def test_a_run_that_was_moved_or_copied_goes_on(walk: Walks) -> None:
    walk.interrupted()
    assert not [path for path in walk.run.rglob("*.json") if str(walk.run) in path.read_text()]
    shutil.copytree(walk.run, walk.folder / "elsewhere" / "keep")
    (walk.folder / "runs").rename(walk.folder / "away")
    (walk.folder / "elsewhere").rename(walk.folder / "runs")
    assert walk() == ["rl"]
    assert walk.began_at == 9


def test_a_run_that_was_renamed_is_named_before_its_training_starts_again(walk: Walks) -> None:
    walk.interrupted()
    walk.run.rename(walk.run.with_name("renamed"))
    assert walk() == ["rl"]
    assert walk.began_at == 0
    assert "renamed holds the same training, interrupted after step 9" in walk.console.text
    assert "add --set name=renamed" in walk.console.text
    assert walk(name="renamed") == ["rl"]
    assert walk.began_at == 9


def test_another_training_in_another_run_is_not_named(walk: Walks) -> None:
    walk.interrupted(RATE.format(1e-4))
    walk.run.rename(walk.run.with_name("renamed"))
    assert walk() == ["rl"]
    assert "holds the same training" not in walk.console.text


def test_a_manifest_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    fields = {"stage": "rl", "kind": "rl", "status": "done", "fingerprint": "f", "seed": 1, "recipe": {}, "parent": []}
    write_json(tmp_path / "manifest.json", fields)
    manifest = read_manifest(tmp_path)
    assert isinstance(manifest, Manifest)
    assert (manifest.revision, manifest.changes) == (1, [])
