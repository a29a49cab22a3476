"""The keys that compose a reward: slips are named at check, and stages that don't train do not depend on them."""

from pathlib import Path
from typing import Any

import pytest

from ringlite_cli import own_code
from ringlite_cli.errors import RecipeErrors
from ringlite_cli.recipe.load import find_recipe, load_recipe
from ringlite_cli.recipe.own_names import own_files, own_names
from ringlite_cli.recipe.rewards import Rewards
from ringlite_cli.recipe.schema import CurateStage, RlStage
from ringlite_cli.stages.walk.identity import identity

LENGTH = "words: 100, span: 50"


@pytest.mark.parametrize(
    ("rewards", "message"),
    [
        ("weights={generl: {judge: 1}}", "rewards.weights.generl: 'generl' is not a domain; did you mean 'general'?"),
        ("weights={general: {reward-modle: 1}}", "'reward-modle' is not a verifier; did you mean 'reward-model'?"),
        ("weights={math: {math: -0.5}}", "rewards.weights.math.math: input should be greater than or equal to 0"),
        ("weights={math: {math: .nan}}", "rewards.weights.math.math: input should be a finite number, not nan"),
        ("weights={math: {math: .inf}}", "rewards.weights.math.math: input should be a finite number, not inf"),
        ("weights={math: {math: 0}}", "rewards.weights.math: no verifier has a weight above 0"),
        ("weights={math: {math: half}}", "rewards.weights.math.math: a number is needed, not 'half'"),
        ("weights={math: 0.5}", "rewards.weights.math: a mapping of keys is needed, not 0.5"),
        ("weights={math: {math: 1, judge: 1}}", "weights.math names 'judge'; give judge_url and judge_model too"),
        ("weights={math: {reward-model: 1}}", "weights.math names 'reward-model'; give reward_model too"),
        ("length_penalty={words: 100}", "rewards.length_penalty.span: this key is needed"),
        (f"length_penalty={{{LENGTH}, verifiers: [jugde]}}", "'jugde' is not a verifier; did you mean 'judge'?"),
        (f"length_penalty={{{LENGTH}, verifiers: []}}", "at least 1 is needed, not 0"),
        (f"length_penalty={{{LENGTH}, domains: [maths]}}", "'maths' is not a domain; did you mean 'math'?"),
        (f"length_penalty={{{LENGTH}, most: .nan}}", "rewards.length_penalty.most: input should be a finite number"),
        (f"length_penalty={{{LENGTH}, reference: 0}}", "rewards.length_penalty.reference: input should be greater"),
        ("repetition_penalty={free: 0.6}", "rewards.repetition_penalty: free (0.6) must be below full (0.5)"),
        ("repetition_penalty={free: .nan}", "rewards.repetition_penalty.free: "),
        ("repetition_penalty={ngrams: 4}", "'ngrams' is not a key here; did you mean 'ngram'?"),
    ],
)
def test_a_slip_is_named_with_its_key_before_anything_runs(rewards: str, message: str) -> None:
    with pytest.raises(RecipeErrors) as caught:
        load_recipe("toy", [f"rewards.{rewards}"])
    assert caught.value.exit_code == 2
    assert message in "\n".join(caught.value.faults)


def keys_of(stage: str, **rewards: Any) -> dict[str, Any]:
    section = load_recipe("toy").stages[stage]
    assert isinstance(section, CurateStage | RlStage)
    return dict(identity(section.kind, section, {"rewards": Rewards.made(**rewards)}, 1, {}).keys)


def test_stages_that_do_not_train_by_rewards_do_not_depend_on_how_they_are_composed() -> None:
    composed = {"weights": {"math": {"math": 0.5}}, "repetition_penalty": {}}
    assert keys_of("curate", **composed) == keys_of("curate")
    assert keys_of("curate", math_timeout=1) != keys_of("curate")
    new = keys_of("rl-math", **composed).keys() - keys_of("rl-math").keys()
    assert {name.split(".")[1] for name in new} == {"weights", "repetition_penalty"}


def test_without_them_a_result_is_known_by_what_it_was_known_by_before() -> None:
    assert not {name for name in keys_of("rl-math") if "penalty" in name or "weights" in name}


def test_rewards_of_one_s_own_are_known_and_are_inputs_of_the_stages_that_ask_them(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def tone(problem, response):\n    return 1.0\n")
    (tmp_path / "r.yaml").write_text(find_recipe("toy").read_text())
    recipe = load_recipe(str(tmp_path / "r.yaml"), ["rewards.weights={math: {math: 1, 'mine:tone': 0.2}}"])
    assert ("rewards.weights.math", "mine:tone") in list(own_names(recipe))
    assert own_code.is_declared("mine:tone")
    assert list(own_files(recipe, "rl-math", rewards=True)) == ["own/mine:tone"]
    assert own_files(recipe, "curate", rewards=True) == {}
    with pytest.raises(RecipeErrors, match=r"rewards.weights.math: 'mine:tune': .* defines no 'tune'; did you mean"):
        load_recipe(str(tmp_path / "r.yaml"), ["rewards.weights={math: {'mine:tune': 1}}"])
