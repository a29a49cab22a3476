# ruff: noqa: E501  (a table of faults reads best with a fault per line)
"""Recipes: all faults at once, each naming the key and the way out; nothing unknown passes in silence."""

import re
from pathlib import Path

import pytest

from ringlite_cli.errors import RecipeErrors, UserError
from ringlite_cli.recipe.graph import parents, run_order
from ringlite_cli.recipe.load import load_recipe

GOOD = """\
name: tiny
model: {path: some/model}
stages:
  curate:
    kind: curate
    sources:
      - {generator: arithmetic, rows: 100, split: train}
      - {generator: arithmetic, rows: 10, split: eval}
    sets: {traces: {traces: true}, math: {disjoint_from: [traces]}, eval: {split: eval}}
  sft: {kind: sft, data: curate.traces, trl: {learning_rate: 3e-4, num_train_epochs: 2}}
  select: {kind: select, candidates: sft, data: curate.eval}
  rl-math: {kind: rl, policy: select, data: curate.math, trl: {beta: 1e-3, num_generations: 4, max_steps: 2}}
  eval: {kind: eval, policies: [base, select, rl-math], tasks: [curate.eval, gsm8k]}
"""


@pytest.fixture
def recipe(tmp_path: Path):
    def write(text: str = GOOD, *swaps: tuple[str, str]) -> str:
        for old, new in swaps:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "r.yaml"
        path.write_text(text)
        return str(path)

    return write


def faults(name: str, *overrides: str) -> list[str]:
    with pytest.raises(RecipeErrors) as caught:
        load_recipe(name, overrides)
    assert caught.value.exit_code == 2
    return [re.sub(rf"^{re.escape(name)}(:\d+)?: ", "", fault) for fault in caught.value.faults]


def test_a_good_recipe_loads_with_numbers_in_yaml_1_2(recipe) -> None:
    loaded = load_recipe(recipe())
    assert loaded.stages["sft"].trl["learning_rate"] == 3e-4
    assert loaded.stages["rl-math"].trl["beta"] == 1e-3
    assert loaded.stages["rl-math"].token_budget == 409_600  # the paper's


def test_references_are_edges(recipe) -> None:
    loaded = load_recipe(recipe())
    assert parents(loaded, "eval") == ["curate", "sft", "select", "rl-math"]
    assert run_order(loaded) == ["curate", "sft", "select", "rl-math", "eval"]


def test_stages_run_after_what_they_read_whatever_the_files_order(recipe) -> None:
    head, stages = GOOD.split("stages:\n")
    lines = stages.splitlines(keepends=True)
    loaded = load_recipe(recipe(head + "stages:\n" + "".join([*lines[6:], *lines[:6]])))
    assert run_order(loaded)[0] == "curate"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("num_generations", "num_genarations", "stages.rl-math.trl: 'num_genarations' is not a GRPOConfig field; did you mean 'num_generations'?"),
        ("learning_rate: 3e-4", "learning_rate: fast", "stages.sft.trl: learning_rate = 'fast': input should be a valid number, unable to parse string as a number"),
        ("beta: 1e-3", "loss_type: grpo", "stages.rl-math.trl: 'loss_type' is ringlite's to set: the loss is C3PO's (Eq. 2), or that of `algorithm`; remove it"),
        ("candidates: sft", "canddates: sft", "stages.select: 'canddates' is not a key here; did you mean 'candidates'?"),
        ("name: tiny", "name: a/b", "name: string should match pattern '^[A-Za-z0-9][A-Za-z0-9._-]*$', not 'a/b'"),
        ("name: tiny", "name: tiny\nsead: 3", "'sead' is not a key here; did you mean 'seed'?"),
        ("kind: select", "kind: selekt", "stages.select: kind 'selekt' is unknown; did you mean 'select'?"),
        ("kind: select, ", "", "stages.select: kind is missing; kinds are curate, sft, select, reward-model, rl, eval"),
        ("curate.traces", "curate.trace", "stages.sft.data: 'curate' makes no set 'trace'; did you mean 'traces'?"),
        ("data: curate.traces", "data: curate", "stages.sft.data: name one of its sets, as in curate.traces"),
        ("policy: select", "policy: selct", "stages.rl-math.policy: no stage 'selct'; did you mean 'select'?"),
        ("policy: select", "policy: curate", "stages.rl-math.policy: 'curate' is a curate stage; this key takes sft or select or rl"),
        ("policy: select", "policy: rl-math", "stages.rl-math.policy: a stage can't refer to itself"),
        ("disjoint_from: [traces]", "disjoint_from: [eval]", "stages.curate.sets.math.disjoint_from: 'eval' is not a set above it"),
        ("eval: {split: eval}}", "eval: {split: select}}", "stages.curate.sets.eval.split: no source has split 'select'"),
        ("model: {path: some/model}", "model: {}", "model: give exactly one of path, package or new"),
        ("model: {path: some/model}", "model: {pth: x, path: y}", "model: 'pth' is not a key here; did you mean 'path'?"),
        ("rows: 100,", "rows: -1,", "stages.curate.sources.0.rows: input should be greater than 0, not -1"),
        ("rows: 100, ", "", "stages.curate.sources.0: a generator needs rows, the number of problems to make"),
        ("generator: arithmetic, rows: 100", "path: nowhere.jsonl", "no file 'nowhere.jsonl'"),
        ("data: curate.eval}", "data: curate.eval, entropy_band: [0.5, 0.3]}", "stages.select: entropy_band must be [low, high] with 0 <= low < high, not [0.5, 0.3]"),
    ],
)  # fmt: skip
def test_a_fault_names_its_key_and_the_way_out(recipe, old: str, new: str, message: str) -> None:
    found = faults(recipe(GOOD, (old, new)))
    assert any(message in fault for fault in found), found


def test_all_faults_come_at_once(recipe) -> None:
    found = faults(recipe(GOOD, ("num_generations", "num_genarations"), ("name: tiny", "name: tiny\nsead: 3"), ("candidates: sft", "candidates: sft, sampels: 3")))  # fmt: skip
    assert len(found) == 3
    assert {fault.split(":")[0] for fault in found} == {"'sead' is not a key here; did you mean 'seed'?", "stages.select", "stages.rl-math.trl"}  # fmt: skip


def test_a_circle_is_named(recipe) -> None:
    text = GOOD.replace("policy: select, data: curate.math", "policy: rl-2, data: curate.math")
    text += "  rl-2: {kind: rl, policy: rl-math, data: curate.math, trl: {max_steps: 2}}\n"
    assert any("rl-math -> rl-2 -> rl-math is a circle" in fault for fault in faults(recipe(text)))


def test_set_changes_one_key_and_is_checked(recipe) -> None:
    loaded = load_recipe(recipe(), ["stages.rl-math.token_budget=8192", "seed=3", "stages.curate.sources.0.rows=7"])
    assert loaded.stages["rl-math"].token_budget == 8192
    assert loaded.seed == 3
    assert loaded.stages["curate"].sources[0].rows == 7
    change = "stages.rl-math.token_budgt=1"
    assert faults(recipe(), change)[0].startswith(f"--set {change}: stages.rl-math: 'token_budgt'")


@pytest.mark.parametrize("override", ["seed", "=3", "name.x=1", "stages.curate.sources.9.rows=1", "seed={"])
def test_a_broken_set_is_one_message(recipe, override: str) -> None:
    with pytest.raises(UserError, match="--set"):
        load_recipe(recipe(), [override])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "not valid YAML"),
        ("- a\n- b", "a recipe is a mapping"),
        ("", "a recipe is a mapping"),
        ("name: a\nname: b", "'name' stands twice"),
        ("name: !!python/object:os.system x", "not valid YAML"),
        ("? [a, b]\n: 1", "a key must be text"),
        ("name: x\nmodel: {path: y}", "a recipe needs a mapping of at least one stage"),
        ("name: x\nmodel: {path: y}\nstages: {a: 3}", "a stage is a mapping with a kind"),
        ("name: x\nmodel: {path: y}\nstages: {'a/../b': {kind: sft}}", "a stage's name has letters"),
    ],
)
def test_broken_yaml_is_one_message(recipe, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_recipe(recipe(text))


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(UserError, match="not UTF-8"):
        load_recipe(str(path))


def test_an_unknown_name_is_answered_with_a_near_one() -> None:
    with pytest.raises(UserError, match="did you mean 'demo'"):
        load_recipe("demmo")


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="folder"):
        load_recipe(str(tmp_path))


def test_a_source_is_found_beside_its_recipe(recipe, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    loaded = load_recipe(recipe(GOOD, ("generator: arithmetic, rows: 100", "path: rows.jsonl")))
    assert loaded.stages["curate"].sources[0].path == str(tmp_path / "rows.jsonl")


@pytest.mark.parametrize("name", ["shards", "shards/*.jsonl", "**/part*.jsonl"])
def test_a_source_may_be_a_folder_or_a_glob_beside_the_recipe(tmp_path: Path, name: str) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "part-0.jsonl").write_text("{}\n")
    (tmp_path / "r.yaml").write_text(
        f"name: r\nmodel: {{path: x}}\nstages:\n  curate:\n    kind: curate\n"
        f'    sources: [{{path: "{name}"}}]\n    sets: {{all: {{}}}}\n'
    )
    stage = load_recipe(str(tmp_path / "r.yaml")).stages["curate"]
    assert stage.sources[0].path == str(tmp_path / name)  # type: ignore[union-attr]
