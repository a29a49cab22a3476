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
