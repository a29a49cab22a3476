"""A reward-model stage in a recipe: what it refers to, who waits for it, and what its faults say."""

from pathlib import Path

import pytest
from small_walks import small_recipe

from ringlite_cli.errors import RecipeErrors
from ringlite_cli.recipe.graph import parents, run_order
from ringlite_cli.recipe.load import load_recipe

GENERAL = "generator: arithmetic, rows: 10, domain: general"
MATH_RL = (
    "rl-math: {kind: rl, policy: sft, data: curate.math, prompts_per_step: 2, token_budget: 64, "
    "trl: {max_steps: 2, num_generations: 2, max_completion_length: 32}}"
)
GENERAL_RL = MATH_RL.replace("rl-math", "rl-general").replace("curate.math", "curate.general")
RM = "rm: {kind: reward-model, pairs: {policies: [base, rl-math], data: curate.math}, policy: sft}"
SOURCES = "sources: [{generator: arithmetic, rows: 9, split: train}, {generator: linear, rows: 9, split: eval, SECOND}]"


def recipe(tmp_path: Path, *stages: str, head: str = "rewards: {reward_model: rm}"):
    text = small_recipe("\n  ".join(stages)).replace(
        "sources: [{generator: arithmetic, rows: 10}]", SOURCES.replace("SECOND", "verifier: reward-model")
    )
    text = text.replace("sets: {traces: {}, math: {}}", "sets: {traces: {}, math: {}, general: {split: eval}}")
    path = tmp_path / "recipe.yaml"
    path.write_text(f"{head}\n{text}")
    return load_recipe(str(path))


def test_rl_waits_for_the_reward_model_that_scores_its_set(tmp_path):
    found = recipe(tmp_path, MATH_RL, GENERAL_RL, RM)
    assert parents(found, "rm") == ["curate", "sft", "rl-math"]
    assert parents(found, "rl-math") == ["curate", "sft"]  # its set has another verifier
    assert parents(found, "rl-general") == ["curate", "sft", "rm"]
    assert run_order(found) == ["curate", "sft", "rl-math", "rm", "rl-general"]
    elsewhere = recipe(tmp_path, MATH_RL, GENERAL_RL, RM, head="rewards: {reward_model: some/model}")
    assert parents(elsewhere, "rl-general") == ["curate", "sft"]


def test_rl_whose_weights_name_the_reward_model_waits_for_it(tmp_path):
    """No source names the verifier: the weights of a domain do, for RL on a set that has the domain."""
    head = "rewards: {reward_model: rm, weights: {logic: {logic: 1.0, reward-model: 0.2}}}"
    text = f"{head}\n" + small_recipe("\n  ".join([MATH_RL, GENERAL_RL, RM]))
    sets = "math: {rows: {math: 2}}, general: {rows: {logic: 2, math: 2}}"
    (tmp_path / "recipe.yaml").write_text(text.replace("math: {}", sets))
    found = load_recipe(str(tmp_path / "recipe.yaml"))
    assert parents(found, "rl-math") == ["curate", "sft"]
    assert parents(found, "rl-general") == ["curate", "sft", "rm"]
    (tmp_path / "recipe.yaml").write_text(text.replace("math: {}", sets.replace("{logic: 2, math: 2}", "{level=1: 2}")))
    assert "rm" in parents(load_recipe(str(tmp_path / "recipe.yaml")), "rl-general")  # a label may be of any domain


def test_a_set_whose_rows_name_their_verifier_counts_where_that_makes_no_circle(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "x", "verifier": "reward-model"}\n')
    told = f"path: {rows}, adapter: problems"
    text = SOURCES.replace("{generator: linear, rows: 9, split: eval, SECOND}", "{%s, split: eval}" % told)  # noqa: UP031
    path = tmp_path / "recipe.yaml"
    made = small_recipe("\n  ".join([GENERAL_RL, RM.replace("rl-math", "rl-general")])).replace(
        "sources: [{generator: arithmetic, rows: 10}]", text
    )
    made = made.replace("sets: {traces: {}, math: {}}", "sets: {traces: {}, math: {}, general: {split: eval}}")
    path.write_text("rewards: {reward_model: rm}\n" + made)
    found = load_recipe(str(path))
    assert "rm" not in parents(found, "rl-general")  # the reward model is made from its policy
    path.write_text(path.read_text().replace("[base, rl-general]", "[base, sft]"))
    assert "rm" in parents(load_recipe(str(path)), "rl-general")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("reward_model: rm", "reward_model: sft"), "rewards.reward_model: 'sft' is an sft stage"),
        (("[base, rl-math]", "[base, rl-moth]"), "stages.rm.pairs.policies: no stage 'rl-moth'; did you mean"),
        (("[base, rl-math]", "[base]"), "stages.rm.pairs.policies"),
        (("data: curate.math}, policy", "data: curate.maths}, policy"), "makes no set 'maths'"),
        (("pairs: {", "data: {path: x}, pairs: {"), "give exactly one of data or pairs; data and pairs are given"),
        (("policy: sft}", "policy: curate}"), "this key takes sft or select or rl"),
        (("policy: sft}", "policy: sft, trl: {max_lenght: 3}}"), "'max_lenght' is not a RewardConfig field"),
        (("policy: sft}", "policy: sft, trl: {eval_strategy: steps}}"), "held-out pairs are scored when"),
        (("policy: sft}", "policy: sft, held_out: 1}"), "stages.rm.held_out"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(tmp_path, change, said):
    def changed(text):
        assert change[0] in text
        return text.replace(*change)

    head = "rewards: {reward_model: rm}"
    stage = RM if change[0] in head else changed(RM)
    with pytest.raises(RecipeErrors) as refused:
        recipe(tmp_path, MATH_RL, stage, head=changed(head) if change[0] in head else head)
    assert said in str(refused.value)


def test_a_reward_model_that_needs_its_own_scores_is_a_circle(tmp_path):
    own = RM.replace("[base, rl-math]", "[base, rl-general]")
    with pytest.raises(RecipeErrors, match="is a circle"):
        recipe(tmp_path, GENERAL_RL, own)
