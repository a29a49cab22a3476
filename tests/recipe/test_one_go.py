"""`check` reports schema, TRL, reference and batch faults in one go, and asks the same rules as the stage's start."""

import re
from pathlib import Path

import pytest

from ringlite_cli.errors import RecipeErrors
from ringlite_cli.recipe.rl_settings import RlSettings
from ringlite_cli.stages.commands.check import load_checked

RECIPE = """\
name: tiny
model: {path: some/model}
stages:
  curate:
    kind: curate
    sources: [{generator: arithmetic, rows: 100}, {generator: arithmetic, rows: 10, split: eval}]
    sets: {traces: {traces: true}, math: {disjoint_from: [traces]}, eval: {split: eval}}
  sft: {kind: sft, data: curate.traces, trl: {num_train_epochs: 2}}
  select: {kind: select, candidates: sft, data: curate.eval, rl_probe: {data: curate.math}}
  rl: {kind: rl, policy: select, data: curate.math, KEYS trl: {TRL max_steps: 40}}
  eval: {kind: eval, policies: [base, rl], tasks: [curate.eval]}
"""
SMALL = "prompts_per_step: 8, token_budget: 2048,"


def faults(folder: Path, keys: str = SMALL, trl: str = "", *swaps: tuple[str, str]) -> list[str]:
    text = RECIPE.replace("KEYS", keys).replace("TRL", trl)
    for old, new in swaps:
        assert old in text
        text = text.replace(old, new)
    path = folder / "r.yaml"
    path.write_text(text)
    try:
        load_checked(str(path))
    except RecipeErrors as error:
        return [re.sub(rf"^{re.escape(str(path))}(:\d+)?: ", "", fault) for fault in error.faults]
    return []


def test_the_recipe_without_a_fault_passes(tmp_path: Path) -> None:
    assert faults(tmp_path) == []


def test_schema_trl_reference_and_batch_faults_come_together(tmp_path: Path) -> None:
    found = faults(
        tmp_path, SMALL + " updates_per_rollout: 3,", "delta: 0.2,",
        ("policy: select", "policy: selekt"), ("candidates: sft", "candidates: sft, sampels: 3"),
        ("name: tiny", "name: tiny\nsead: 3"), ("num_train_epochs: 2", "num_train_epocs: 2"),
        ("rl_probe: {data: curate.math}", "rl_probe: {data: curate.mth}"), ("[curate.eval]", "[curate.evil, gsm9k]"),
    )  # fmt: skip
    for part in (
        "'sead' is not a key here",
        "stages.sft.trl: 'num_train_epocs' is not a SFTConfig field",
        "stages.select: 'sampels' is not a key here",
        "stages.select.rl_probe.data: 'curate' makes no set 'mth'",
        "stages.rl.trl: 'delta' must be None, not 0.2",
        "stages.rl.policy: no stage 'selekt'",
        "stages.rl.trl.max_steps: 40 steps are not a whole number of rollouts of 3 updates",
        "stages.eval.tasks: 'curate' makes no set 'evil'",
        "stages.eval.tasks: no task 'gsm9k'",
    ):
        assert any(part in fault for fault in found), (part, found)
    assert len(found) == 9


def test_a_stage_with_a_fault_is_no_reason_for_faults_of_others(tmp_path: Path) -> None:
    assert faults(tmp_path, SMALL, "", ("{disjoint_from: [traces]}", "{disjoint_from: [traces], rws: 3}")) == [
        "stages.curate.sets.math: 'rws' is not a key here; did you mean 'rows'?"
    ]
    assert len(faults(tmp_path, SMALL, "", ("kind: sft", "kind: stf"))) == 1
    assert len(faults(tmp_path, SMALL, "", ("candidates: sft, ", ""))) == 1


@pytest.mark.parametrize(
    ("keys", "trl", "part"),
    [
        (SMALL, "use_bias_correction_kl: true,", "'use_bias_correction_kl' must be False"),
        (SMALL, "delta: 0.5,", "'delta' must be None"),
        (SMALL, "importance_sampling_level: sequence,", "'importance_sampling_level' must be 'token'"),
        (SMALL, "num_train_epochs: 3,", "max_steps decides how long"),
        (SMALL, "shuffle_dataset: true,", "sampling decides the order"),
        (SMALL, "eval_strategy: steps,", "'eval_strategy' must be 'no'"),
        (SMALL, "top_entropy_quantile: 0.2,", "'top_entropy_quantile' must be 1.0"),
        (SMALL, "auto_find_batch_size: true,", "'auto_find_batch_size' must be False"),
        (SMALL + " updates_per_rollout: 3,", "", "40 steps are not a whole number of rollouts"),
        (SMALL + " algorithm: grpo, undershoot: refill,", "", "grpo trains every response"),
        (SMALL + " budget_schedule: linear,", "", "token_budget_end: a linear budget needs an end"),
        (SMALL, "num_generations: null,", "num_generations: a positive number is needed"),
        (SMALL, "max_completion_length: null,", "max_completion_length: a positive number is needed"),
        ("prompts_per_step: 8, token_budget: 40000,", "", "can never be filled: 64 responses of at most 512 tokens"),
    ],
)
def test_check_says_what_the_stage_would_say_after_hours(tmp_path: Path, keys: str, trl: str, part: str) -> None:
    found = faults(tmp_path, keys, trl)
    assert len(found) == 1, found
    assert part in found[0]


def test_the_settings_themselves_refuse_the_same(tmp_path: Path) -> None:
    settings = RlSettings(prompts_per_step=8, token_budget=2048, trl={"max_steps": 40, "delta": 0.5})
    with pytest.raises(RecipeErrors, match="'delta' must be None"):
        settings.check()
    with pytest.raises(RecipeErrors, match="cannot be shared evenly by 3 ranks"):
        settings.model_copy(update={"trl": {"max_steps": 40}}).check(world_size=3)
