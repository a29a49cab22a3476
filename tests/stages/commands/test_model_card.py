"""The model card of a policy, from the manifests of the stages that made it."""

from pathlib import Path

from ringlite_cli.runs.manifest import Manifest
from ringlite_cli.stages.commands.policies.find import Policy
from ringlite_cli.stages.commands.policies.model_card import model_card


def test_a_card_says_that_an_adapter_was_trained_and_which() -> None:
    lora = {"r": 4, "lora_alpha": 16, "lora_dropout": 0.0, "target_modules": ["q_proj"], "target_parameters": None}
    made = {
        name: Manifest(name, "rl", "done", "", 17, {"lora": given, "trl": {"beta": 1e-3}}, parent)
        for name, given, parent in (("one", lora, []), ("two", None, ["one"]))
    }
    card = model_card(Policy("two/policy", Path("runs/mine"), "two", made, {"model": {"path": "some/model"}}))
    assert "| one | rl | beta 0.001, lora (r 4, lora_alpha 16, target_modules q_proj) |" in card
    assert "| two | rl | beta 0.001 |" in card


def test_a_card_has_no_scores_of_an_earlier_policy_and_names_the_stages_of_several(tmp_path: Path) -> None:
    """`run --to rl` trains anew and leaves the evaluation of the old weights: those were the card's scores."""
    score = {"avg@k": 0.9, "ci95": [0.8, 1.0], "n": 200, "k": 2}
    made = {
        name: Manifest(name, kind, "done", "", 17, {}, [])
        for name, kind in {"rl": "rl", "two": "rl", "eval": "eval", "long": "eval"}.items()
    }
    made["rl"].outputs = {"policy": {"path": "rl/policy", "digest": "sha256:new"}}
    made["two"].parent, made["two"].inputs = ["rl"], {"rl/policy": {"path": "rl/policy", "digest": "sha256:new"}}
    for stage in ("eval", "long"):
        made[stage].metrics = {"rl": {"math": score}}
        made[stage].inputs = {"rl/policy": {"path": "rl/policy", "digest": "sha256:new"}}
    card = model_card(Policy("rl/policy", tmp_path, "rl", made, {}))
    assert "| eval: math | rl | 90.0 % |" in card
    assert "| long: math | rl | 90.0 % |" in card
    made["rl"].outputs["policy"]["digest"] = "sha256:newer"
    card = model_card(Policy("rl/policy", tmp_path, "rl", made, {}))
    assert "90.0 %" not in card
    assert "None: the run has not evaluated this policy, but an earlier one." in card
    card = model_card(Policy("two/policy", tmp_path, "two", made, {}))
    assert "**`two` was made from an earlier result of rl than the one that is told here.**" in card
