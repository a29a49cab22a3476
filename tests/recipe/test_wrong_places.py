# ruff: noqa: E501  (a table of faults reads best with a fault per line)
"""Mistakes of a newcomer's recipe: each message says where the key belongs, how it is written, and on which line."""

from pathlib import Path

import pytest

from ringlite_cli.errors import RecipeErrors, UserError
from ringlite_cli.recipe.experiment import load_experiment
from ringlite_cli.recipe.load import shipped_experiments, shipped_recipes
from ringlite_cli.recipe.places import Places
from ringlite_cli.stages.commands.check import load_checked

TOY = shipped_recipes()["toy"].read_text()


def faults(file: Path, *changes: tuple[str, str], flags: tuple[str, ...] = ()) -> list[str]:
    text = TOY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        load_checked(str(file), flags)
    return caught.value.faults if isinstance(caught.value, RecipeErrors) else [str(caught.value)]


RL = "    prompts_per_step: 4\n"
WRITTEN = [
    ((RL, f"{RL}    max_steps: 3\n"), "stages.rl-math: 'max_steps' is not a key here; it is a field of TRL's GRPOConfig; write it under `trl:`"),
    ((RL, f"{RL}    batch_size: 3\n"), "'batch_size' is not a key here; 'per_device_train_batch_size' is ringlite's to set"),
    ((RL, f"{RL}    per_device_train_batch_size: 3\n"), "'per_device_train_batch_size' is ringlite's to set: it follows from prompts_per_step"),
    ((RL, f"{RL}    lr: 3\n"), "'lr' is not a key here; it is called learning_rate; write it under `trl:`"),
    ((RL, f"{RL}    group_size: 3\n"), "it is called num_generations; write it under `trl:`"),
    ((RL, f"{RL}    chat_template: x\n"), "it is a key of the recipe's head; write `chat_template:` at the left edge of the file"),
    ((RL, f"{RL}    candidates: sft\n"), "it is a key of stages.select.candidates"),
    (("{max_steps: 3,", "{max_steps: 3, lr: 1e-3,"), "trl: 'lr' is not a GRPOConfig field; it is called learning_rate"),
    (("{max_steps: 3,", "{max_steps: 3, token_budget: 9,"), "it is ringlite's own; write `token_budget` beside `trl:`, not under it"),
    (("{max_steps: 3,", "{max_steps: 3, batch_size: 9,"), "per_device_train_batch_size is ringlite's to set: it follows from"),
    (("{num_train_epochs: 2,", "{epochs: 2,"), "'epochs' is not a SFTConfig field; it is called num_train_epochs"),
    (("learning_rate: 2e-3", "learning_rate: -2e-3"), "stages.sft.trl: learning_rate = -0.002: it must be at least 0"),
    (("num_train_epochs: 2", "num_train_epochs: 0"), "num_train_epochs = 0.0: it must be greater than 0"),
    (("beta: 1e-3", "beta: -1"), "beta = -1.0: it must be at least 0"),
    (("beta: 1e-3", "top_p: 1.5"), "top_p = 1.5: it must be at most 1"),
    (("token_budget: 512", "token_budget: 128k"), "token_budget: a whole number is needed, not '128k'; write 128000, or 131072 (k = 1,024)"),
    (("token_budget: 512", "token_budget: 1,024"), "a whole number is needed, not '1,024'; write 1024"),
    (("token_budget: 512", "token_budget: 0.5"), "a whole number is needed, not 0.5"),
    (("max_length: 256", "max_length: 4k"), "write 4000, or 4096 (k = 1,024)"),
    (("seed: 17", "seed: 17\ntoken_budget: 64"), "'token_budget' is not a key here; it is a key of a stage: stages.rl-math.token_budget or stages.rl-mixed.token_budget"),
    (("seed: 17", "seed: 17\nepochs: 64"), "it is a key of a stage: stages.sft.trl.num_train_epochs"),
    (("name: toy", "name: 5"), "name: text is needed, not 5; put it in quotes: '5'"),
    (("prompt_suffix: {}", "prompt_suffix: Think."), "prompt_suffix: a mapping of keys is needed, not 'Think.'"),
    (("  dtype: float32\n  new:", "  path: x\n  old:"), "model: 'old' is not a key here"),
    (("policies: [base, select, rl-math, rl-mixed]", "policies: base"), "stages.eval.policies: a list is needed, not 'base'; write [base]"),
    (("{generator: arithmetic, rows: 160,", "{domain: maths, generator: arithmetic, rows: 160,"), "'maths' is not a domain; did you mean 'math'? domains are math, code"),
    (("{generator: arithmetic, rows: 160,", "{domain: Physics, generator: arithmetic, rows: 160,"), "'Physics' is not a domain; did you mean 'science'?"),
    (("{generator: arithmetic, rows: 160, split: train,", "{generator: arithmetic, rows: 160, split: trian,"), "sources.0.split: input should be 'train', 'select' or 'eval', not 'trian'; did you mean 'train'?"),
    (("{generator: arithmetic, rows: 160,", "{columns: {question:prompt}, generator: arithmetic, rows: 160,"), "columns: 'question:prompt' is one word to YAML; write `question: prompt`, with a space"),
    (("math: {split: train, rows: {math: 40}", "math: {split: train, rows: 40"), "sets.math.rows: a mapping of keys is needed, not 40; write {math: 40}, by domain"),
    (("    policy: select\n", "    policy: base\n"), "no stage 'base'; base is for eval and pairs alone; training starts from an sft, select or rl stage"),
    (("    data: curate.math\n", "    data: math\n"), "stages.rl-math.data: no stage 'math'; did you mean 'curate.math'?"),
    (("    data: curate.math\n", "    data: train.jsonl\n"), "a file is a source of a curate stage; this key takes one of its sets, as curate.traces"),
    (("    data: curate.traces\n", "    data: train.jsonl\n"), "stages.sft.data: no stage 'train'; a file of traces is written {path: train.jsonl}"),
    (("entropy_band: [0.3, 0.5]", "entropy_band: 0.3"), "entropy_band: a list is needed, not 0.3; write [low, high]"),
    (("dtype: float32", "dtype: bf16"), "model.dtype: input should be 'float32', 'bfloat16' or 'auto', not 'bf16'; did you mean 'bfloat16'?"),
    (("  new:\n", "  path: gpt2\n  new:\n"), "model: give exactly one of path, package or new; path and new are given"),
    ((RL, f"{RL}    lora: true\n"), "lora: a mapping of keys is needed, not true; write {} for its defaults, or some of r, lora_alpha"),
    ((RL, f"{RL}    guard: false\n"), "guard: a mapping of keys is needed, not false; write null for none, or some of window"),
    (("  curate:\n    kind", "\tcurate:\n\t\tkind"), "YAML takes no tabs there; use spaces"),
    (("stages:\n", "---\nstages:\n"), "a recipe is one document; take the line `---` out"),
    (("seed: 17", "seed: 17\nnote: a: b"), "a text with `: ` in it stands in quotes"),
    (("seed: 17", "seed: *seed"), "found undefined alias 'seed'); the anchor has to stand above it"),
    (("prompt_suffix: {}", "chat_template_kwargs: &n {a: *n}"), "chat_template_kwargs.a: an alias stands inside the anchor that it names; copy the keys"),
    (("stages:\n  curate:\n    kind: curate", "stages:\n  - kind: sft\nold:\n  curate:\n    kind: curate"), "stages: a recipe needs a mapping of at least one stage; write each under its name, as in `sft: {kind: sft, ...}`"),
    (("kind: sft", "kind: SFT"), "stages.sft: kind 'SFT' is unknown; did you mean 'sft'?"),
    (("  eval:\n    kind", "  base:\n    kind"), "stages.base: 'base' is what eval calls the model before SFT; give the stage another name"),
    (("    policy: select\n", "    policy: curate.math\n"), "no stage 'curate.math'; this key takes an sft, select or rl stage: sft, select, rl-mixed"),
    (("    policy: select\n", "    policy: ./tiny\n"), "no stage './tiny'; a model's folder or hub id stands under model.path"),
    (("    policy: select\n", "    policy: [select]\n"), "stages.rl-math.policy: text is needed, not a list; write select"),
    (("    data: curate.math\n", "    data: curate/math\n"), "no stage 'curate/math'; did you mean 'curate.math'?"),
    (("    data: curate.math\n", "    data: \n"), "stages.rl-math.data: text is needed, not nothing"),
    (("candidates: sft", "candidates: rl-math"), "'rl-math' is an rl stage; this key takes sft"),
    (("policies: [base, select, rl-math, rl-mixed]", "policies: [bse, select]"), "no stage 'bse'; did you mean 'base'?"),
    (("{generator: arithmetic, rows: 160, split: train,", "{path: ., split: {train: 0.7, eval: 0.7}, domain: math}\n      - {generator: arithmetic, rows: 160, split: train,"), "sources.0.split: the shares come to 1.4, not to 1"),
    (("disjoint_from: [traces]", "disjoint_from: [trace]"), "'trace' is not a set above it; did you mean 'traces'?"),
    (("{max_steps: 3,", "{max_steps: -3,"), "stages.rl-math.trl: max_steps = -3: it must be at least 1"),
    (("learning_rate: 2e-3", "learning_rate: .inf"), "stages.sft.trl: learning_rate = inf: it must be a finite number"),
    (("name: toy", "name: no"), "name: text is needed, not false; YAML reads yes, no, on and off so: put the word in quotes"),
    (("name: toy", "name: 2026-01-31"), "name: text is needed, not 2026-01-31; put it in quotes: '2026-01-31'"),
    (("seed: 17", "seed: #17"), "seed: a whole number is needed, not nothing"),
    (("  dtype: float32\n  new:", "  name: Qwen/Qwen3-0.6B\n  old:"), "model: 'name' is not a key here; it is called path here: a folder, or an id of the hub"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), WRITTEN)
def test_a_mistake_says_what_to_write(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    found = faults(tmp_path / "r.yaml", change)
    assert any(message in fault for fault in found), found
    assert not any("literal[" in fault or "(source)" in fault for fault in found), found


def test_shares_of_a_split_that_is_misspelt_are_one_fault(tmp_path: Path) -> None:
    source = "{path: ., split: {train: 0.7, evl: 0.3}, domain: math}"
    found = faults(tmp_path / "r.yaml", ("{generator: arithmetic", source + "\n      - {generator: arithmetic"))
    assert [fault.partition(".split")[2] for fault in found] == [
        ".evl: input should be 'train', 'select' or 'eval', not 'evl'; did you mean 'eval'?"
    ]


def test_keys_of_an_anchor_are_merged_and_overridden(tmp_path: Path) -> None:
    text = TOY.replace("    kind: sft\n", "    <<: {kind: rl, data: curate.traces}\n    kind: sft\n", 1)
    text = text.replace("    data: curate.traces\n", "", 1)
    (tmp_path / "r.yaml").write_text(text)
    recipe = load_checked(str(tmp_path / "r.yaml"))
    assert (recipe.stages["sft"].kind, recipe.stages["sft"].data) == ("sft", "curate.traces")


def test_what_is_said_of_a_field_of_trl_and_of_a_name_with_spaces_has_its_own_line(tmp_path: Path) -> None:
    changes = [
        ("num_generations: 4, ", "\n      num_generations: 1,\n      "),
        ("  eval:\n    kind", "  my eval:\n    kind"),
    ]
    found = faults(tmp_path / "r.yaml", *changes)
    lines = (tmp_path / "r.yaml").read_text().splitlines()
    places = {fault.split(": ")[1]: lines[int(fault.split(":")[1]) - 1] for fault in found}
    assert places["stages.rl-math.num_generations"] == "      num_generations: 1,"
    assert places["stages.my eval"] == "  my eval:"


def test_each_fault_stands_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    wrong = ("sed: 3", "lr: 1,", "rows: -1")
    found = faults(
        file,
        ("seed: 17", f"seed: 17\n{wrong[0]}"),
        ("max_steps: 3,", f"max_steps: 3, {wrong[1]}"),
        ("rows: 160", wrong[2]),
    )
    lines = file.read_text().splitlines()
    numbers = {next(n for n, line in enumerate(lines, 1) if text in line) for text in wrong}
    assert {fault.split(": ")[0] for fault in found} == {f"{file}:{number}" for number in numbers}
    assert Places(tmp_path / "gone.yaml").of("a.b: wrong") == str(tmp_path / "gone.yaml")


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("token_budget=64", "--set token_budget=64: 'token_budget' is not a key here; it is a key of a stage: stages.rl-math"),
        ("stages.rlmath.token_budget=64", "the recipe has no stage 'rlmath'; did you mean 'rl-math'?"),
        ("stages.rl-math.trl.lr=1e-3", "--set stages.rl-math.trl.lr=1e-3: stages.rl-math.trl: 'lr' is not a GRPOConfig field"),
        ("model=./tiny", "--set model=./tiny: model: a mapping of keys is needed, not './tiny'; write {path: ./tiny}"),
    ],
)  # fmt: skip
def test_a_fault_of_a_flag_stands_with_the_flag(tmp_path: Path, flag: str, message: str) -> None:
    (found,) = faults(tmp_path / "r.yaml", flags=(flag,))
    assert message in found
    assert "r.yaml" not in found


def test_a_stage_can_still_be_added_by_flags(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(TOY)
    whole = "stages.more={kind: eval, policies: [rl-mixed], tasks: [curate.eval]}"
    assert "more" in load_checked(str(tmp_path / "r.yaml"), [whole]).stages
    flags = ["stages.more.kind=eval", "stages.more.policies=[rl-mixed]", "stages.more.tasks=[curate.eval]"]
    assert "more" in load_checked(str(tmp_path / "r.yaml"), flags).stages


def test_a_circle_of_stages_is_named_whatever_else_is_wrong(tmp_path: Path) -> None:
    """sft trains on from rl-math, which trains what select picked of sft."""
    change = ("    data: curate.traces\n", "    data: curate.traces\n    policy: rl-math\n")
    found = faults(tmp_path / "r.yaml", change, ("seed: 17", "sed: 17"))
    circles = [fault for fault in found if "is a circle" in fault]
    assert len(circles) == 1
    assert "sft -> rl-math -> select -> sft is a circle" in circles[0]
    assert not any("no sft stage prepares it" in fault for fault in found)  # which is true, and misleads


def test_an_adapter_is_refused_as_a_model_before_anything_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "some/base"}')
    change = ("  new:\n", f"  path: {tmp_path}\n  new:\n")
    found = faults(tmp_path / "r.yaml", change, flags=("model.new=null",))
    assert any(f"an adapter of some/base, not a model; write `path: some/base` and `adapter: {tmp_path}`" in f for f in found)  # fmt: skip


def test_a_flag_s_fault_is_the_flag_s_also_below_its_key(tmp_path: Path) -> None:
    (found,) = faults(tmp_path / "r.yaml", flags=("stages.select.entropy_band=[0.3]",))
    assert found.startswith("--set stages.select.entropy_band=[0.3]: stages.select.entropy_band.1: this key is needed")


def test_a_file_of_rows_is_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text('{"question": "q", "answer": "1"}\n')
    with pytest.raises(UserError, match=r"a file of data, not a recipe; `ringlite new NAME --data .*mine.jsonl`"):
        load_checked(str(tmp_path / "mine.jsonl"))


def test_recipes_and_experiments_are_told_apart() -> None:
    name, file = next(iter(shipped_experiments().items()))
    for given in (name, str(file)):
        with pytest.raises(UserError, match=f"an experiment, not a recipe; `ringlite experiment {given}` runs it"):
            load_checked(given)
    for given in ("toy", str(shipped_recipes()["toy"])):
        with pytest.raises(UserError, match=f"a recipe, not an experiment; `ringlite run {given}` runs it"):
            load_experiment(given)


def test_an_experiment_s_faults_have_lines_too(tmp_path: Path) -> None:
    file = tmp_path / "e.yaml"
    file.write_text("name: e\nrecipe: toy\nseeds: [1]\narms: {a: {}, b: {}}\nqestion: x\n")
    with pytest.raises(RecipeErrors, match=r"e\.yaml:5: 'qestion' is not a key here; did you mean 'question'"):
        load_experiment(str(file))
