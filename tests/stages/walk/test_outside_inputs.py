"""What a stage reads from outside the run: other weights under the same path are seen, and what is gone takes nothing.

The stages are real `StageKind`s with small runners, so that the walk itself is tested.
"""

import json
import shutil
from pathlib import Path

import pytest
from small_walks import RL, run_in_stages, small_recipe
from sweeps import sample_of

from ringlite_cli.console import Console
from ringlite_cli.errors import Interrupted, UserError
from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.runs.files import read_json, write_json
from ringlite_cli.runs.previous import kept_results
from ringlite_cli.stages.base import Context, StageResult
from ringlite_cli.stages.walk import pipeline
from ringlite_cli.stages.walk.decide import Walk


class Walks:
    """Walks the recipe; a stage in `stopping` is interrupted after a checkpoint of step 3."""

    def __init__(self, folder: Path) -> None:
        self.worked: list[str] = []
        self.folder, self.stopping = folder, ""
        self.recipe = folder / "r.yaml"
        rows = f"path: {folder}/rows.jsonl, domain: math, columns: {{prompt: q, answer: a}}"
        self.recipe.write_text(small_recipe(RL, name="keep", model=f"{folder}/model", source=rows))
        (folder / "rows.jsonl").write_text('{"q": "1 + 1?", "a": "2"}\n')
        (folder / "model").mkdir()
        (folder / "model" / "config.json").write_text("{}")
        self.weights("first")

    def weights(self, text: str) -> None:
        (self.folder / "model" / "model.safetensors").write_text(text)

    @property
    def run(self) -> Path:
        return self.folder / "runs" / "keep"

    def __call__(self, *changes: str, stop: str = "", **how) -> list[str]:
        self.worked.clear()
        self.stopping = stop
        recipe = load_recipe(str(self.recipe), list(changes))
        pipeline.run_pipeline(recipe, self.run, Walk(list(recipe.stages), **how), Console())
        return list(self.worked)

    def interrupted(self, stage: str) -> None:
        with pytest.raises(Interrupted):
            self(stop=stage)

    def work(self, context: Context) -> StageResult:
        self.worked.append(context.name)
        checkpoints = context.folder / ("trainer" if context.section.kind == "sft" else "checkpoints")
        if self.stopping == context.name:
            write_json(checkpoints / "checkpoint-3" / "ringlite_seal.json", {"ranks": 1, "files": {}})
            raise Interrupted("stopped after step 3")
        (context.folder / "out.txt").write_text(json.dumps(context.section.objective(), sort_keys=True))
        return StageResult(outputs=dict.fromkeys(["traces", "math", "policy"], context.folder / "out.txt"))


@pytest.fixture
def walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Walks:
    walks = Walks(tmp_path)
    run_in_stages(monkeypatch, walks.work)
    return walks


def test_other_weights_under_the_same_path_are_another_model_and_the_old_result_is_kept(walk: Walks) -> None:
    assert walk() == ["curate", "sft", "rl"]
    walk.weights("other")
    assert walk() == ["sft"], "the policy came out the same here, and RL reads the policy"
    assert len(kept_results(walk.run, "sft")) == 1
    walk.weights("first")
    assert walk() == [], "the old result is taken back"


def test_interrupted_training_does_not_go_on_with_other_weights_nor_begin_again_unasked(walk: Walks) -> None:
    walk.interrupted("sft")
    walk.weights("other")
    for how in ({}, {"go_on": True}):
        with pytest.raises(
            UserError, match=r"model files changed since; it can't go on .* another model files"
        ) as said:
            walk(**how)
        assert "--from sft --fresh" in str(said.value)
    walk.weights("first")
    assert walk() == ["sft", "rl"]


def test_a_model_that_moved_is_the_same_model(walk: Walks) -> None:
    walk()
    shutil.move(walk.folder / "model", walk.folder / "elsewhere")
    assert walk(f"model.path={walk.folder}/elsewhere") == []


def test_a_model_that_is_gone_takes_no_result_with_it(walk: Walks) -> None:
    walk()
    shutil.rmtree(walk.folder / "model")
    assert walk() == []


def test_a_mistyped_path_is_another_model_that_is_not_there(walk: Walks) -> None:
    walk()
    before = sorted(walk.run.rglob("*"))
    found = pipeline.foresee(
        {
            name: Context(load_recipe(str(walk.recipe), ["model.path=./tinny"]), name, walk.run, Console())
            for name in ("curate", "sft", "rl")
        },
        Walk(["curate", "sft", "rl"]),
    )
    assert found.at_work == ["sft", "rl"]
    assert sorted(walk.run.rglob("*")) == before


def test_a_manifest_that_tells_no_model_is_of_the_model_of_that_name(walk: Walks) -> None:
    walk()
    path = walk.run / "sft" / "manifest.json"
    manifest = read_json(path)
    del manifest["inputs"]["model files"]
    write_json(path, manifest)
    assert walk() == []
    shutil.copytree(walk.folder / "model", walk.folder / "copy")
    assert walk(f"model.path={walk.folder}/copy") == ["sft"], "of another name nothing is known"


def test_other_data_stops_no_walk_but_changes_the_result(walk: Walks) -> None:
    walk()
    (walk.folder / "rows.jsonl").write_text('{"q": "2 + 2?", "a": "4"}\n')
    assert walk() == ["curate"]


@pytest.mark.parametrize("text", sample_of(["", "{", "[]", '{"stage": 3}', "\0" * 200], "", '{"stage": 3}'))
def test_a_damaged_manifest_beside_work_is_refused_and_nothing_moves(walk: Walks, text: str) -> None:
    walk.interrupted("rl")
    (walk.run / "rl" / "manifest.json").write_text(text)
    before = sorted(walk.run.rglob("*"))
    with pytest.raises(UserError, match=r"manifest can't be read.*--from rl --fresh"):
        walk()
    assert sorted(walk.run.rglob("*")) == before
    assert walk(fresh=True)
    assert (walk.run / ".previous" / "rl" / "unknown" / "checkpoints" / "checkpoint-3").is_dir()


def test_a_manifest_of_a_later_version_is_taken_up(walk: Walks) -> None:
    walk.interrupted("rl")
    path = walk.run / "rl" / "manifest.json"
    write_json(path, read_json(path) | {"something_new": {"a": 1}})
    assert walk() == ["rl"]
    assert not (walk.run / ".previous").exists()


@pytest.mark.parametrize(("steps", "refused"), [(2, True), (3, False), (20, False)])
def test_fewer_steps_than_are_done_are_refused_before_anything_moves(walk: Walks, steps: int, refused: bool) -> None:
    walk.interrupted("rl")
    before = read_json(walk.run / "rl" / "manifest.json")
    if not refused:
        assert walk(f"stages.rl.trl.max_steps={steps}") == ["rl"]
        return
    with pytest.raises(UserError, match=r"at step 3 already, and 2 are asked for"):
        walk(f"stages.rl.trl.max_steps={steps}")
    assert read_json(walk.run / "rl" / "manifest.json") == before


_NOW = {"ringlite_tokens.json": {"steps_per_epoch": 4}}
_EARLIER = {"ringlite_tokens.json": {"loss_tokens": 9}, "trainer_state.json": {"epoch": 0.75}}
"""What a checkpoint tells of the length of an epoch, now and before ringlite wrote it down."""


@pytest.mark.parametrize("told", [_NOW, _EARLIER])
@pytest.mark.parametrize(("epochs", "refused"), [(0.5, True), (0.6, False), (1, False)])
def test_fewer_epochs_than_are_done_are_refused_before_anything_moves(
    walk: Walks, epochs: float, refused: bool, told: dict[str, dict[str, float]]
) -> None:
    walk.interrupted("sft")
    folder = walk.run / "sft"
    for name, facts in told.items():
        write_json(folder / "trainer" / "checkpoint-3" / name, facts)
    before = read_json(folder / "manifest.json")
    if not refused:
        assert walk(f"stages.sft.trl.num_train_epochs={epochs}")[0] == "sft"
        return
    with pytest.raises(UserError, match=r"at step 3 already, and 2 are asked for"):
        walk(f"stages.sft.trl.num_train_epochs={epochs}", go_on=True)
    assert read_json(folder / "manifest.json") == before


@pytest.mark.parametrize("changes", [(), ("stages.rl.trl.max_steps=20",)])
def test_another_number_of_ranks_is_refused_before_anything_moves(walk: Walks, changes: tuple[str, ...]) -> None:
    walk.interrupted("rl")
    seal = walk.run / "rl" / "checkpoints" / "checkpoint-3" / "ringlite_seal.json"
    write_json(seal, {"ranks": 2, "files": {}})
    before = read_json(walk.run / "rl" / "manifest.json")
    with pytest.raises(UserError, match=r"saved by 2 ranks; training can't resume from it on 1; launch it on 2"):
        walk(*changes)
    assert read_json(walk.run / "rl" / "manifest.json") == before
    assert walk(fresh=True)
