"""`ringlite plan`: what a recipe resolves to, before any work."""

from pathlib import Path

import pytest

from ringlite_cli.errors import RecipeErrors
from ringlite_cli.recipe.load import shipped_recipes
from ringlite_cli.runs.files import read_json, write_json
from ringlite_cli.stages.commands.check import load_checked
from ringlite_cli.stages.commands.plan import count_parameters, print_plan


class Lines:
    """A console that keeps its lines."""

    def __init__(self) -> None:
        self.text = ""

    def say(self, line: str) -> None:
        self.text += line + "\n"

    head = say


def plan(name: str, runs: Path, *overrides: str) -> str:
    console = Lines()
    print_plan(load_checked(name, overrides), console, runs)
    return console.text


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_has_a_plan(name: str, tmp_path: Path) -> None:
    assert all(stage in plan(name, tmp_path) for stage in load_checked(name).stages)


def test_the_batch_plan_follows_the_recipes_numbers(tmp_path: Path) -> None:
    text = plan("toy", tmp_path, "stages.rl-math.trl.max_steps=7")
    assert "L = 4 prompts x K = 4 responses = 16 responses of at most 48 tokens" in text
    assert "Phi = 512 response tokens (global), cut exact" in text
    assert "7 steps: 3,584 tokens trained, 112 rollouts" in text
    assert "132 traces x 2 epochs" in text


def test_parameters_are_counted_without_weights() -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    model = load_checked("toy").model
    fields = {**model.new.config, "vocab_size": model.new.vocab_size}
    config = AutoConfig.for_model(fields.pop("model_type"), **fields)
    assert count_parameters(model) == AutoModelForCausalLM.from_config(config).num_parameters()


def test_a_stage_that_ran_before_says_how_long_it_took(tmp_path: Path) -> None:
    from ringlite_cli.runs.manifest import Manifest

    Manifest("sft", "sft", "done", "f", 17, {}, [], seconds=61.2).write(tmp_path / "toy" / "sft")
    assert read_json(tmp_path / "toy" / "sft" / "manifest.json")["status"] == "done"
    assert "61 s when it was last run" in plan("toy", tmp_path)
    write_json(tmp_path / "toy" / "sft" / "manifest.json", {"stage": "sft"})  # another version's: not read
    assert "last run" not in plan("toy", tmp_path)


def test_a_large_mixture_shows_its_active_parameters_and_what_many_gpus_hold(tmp_path: Path) -> None:
    """16.8B and 2.75B are the paper's own figures (section 1); 20 bytes a parameter with its reference."""
    text = plan("ring-lite", tmp_path)
    assert "inclusionAI/Ling-lite-1.5, 16.80B parameters (2.75B active), bfloat16" in text
    assert "480 steps: 196,608,000 tokens trained a rank, 3,932,160 rollouts" in text
    assert "on 8 GPUs: 39.1 GiB a GPU, sharded, and activations on top; a step trains 3,276,800 tokens" in text
    assert "on 256 GPUs: 1.2 GiB a GPU, sharded, and activations on top; a step trains 104,857,600 tokens" in text


def finished(runs: Path, run: str, stage: str, tokens: int, seconds: float) -> None:
    """A finished RL stage of the toy recipe's model that trained so many tokens in so many seconds."""
    from ringlite_cli.runs.manifest import Manifest

    model = load_checked("toy").model.model_dump(mode="json")
    versions = {"device": "2 x NVIDIA H100"}
    made = Manifest(stage, "rl", "done", "f", 1, {"model": model}, [], seconds=seconds, versions=versions)
    made.tokens = {"trained": tokens, "generated": tokens}
    made.write(runs / run / stage)


def test_time_and_money_follow_from_a_rate_that_another_run_measured(tmp_path: Path) -> None:
    """3 steps of 512 tokens at 512 tokens / 1200 s are an hour of two devices: 5.00 at 2.5."""
    assert "time: not known yet" in plan("toy", tmp_path)
    finished(tmp_path, "other", "rl", 512, 1200.0)
    console = Lines()
    print_plan(load_checked("toy"), console, tmp_path, price=2.5)
    assert "time: 60 min at most, at 0 tokens/s as in a finished rl stage (2 x NVIDIA H100), 5.00" in console.text
    assert "money: 10.00 for 2 of 6 stages" in console.text


def test_the_disk_of_a_stage_grows_with_what_it_keeps(tmp_path: Path) -> None:
    def mib(text: str) -> int:
        return int(text.rpartition("disk: about ")[2].split(" ")[0].replace(",", ""))

    few, many = plan("toy", tmp_path), plan("toy", tmp_path, "stages.sft.trl.save_total_limit=20")
    assert mib(many) > mib(few) > 0


def test_a_plan_says_what_would_fail_and_refuses_what_no_machine_can_run(tmp_path: Path) -> None:
    text = plan("toy", tmp_path, "model.new=null", "model.path=some/model")
    assert "here it would fail: model.path" in text
    with pytest.raises(RecipeErrors, match="no folder"):
        plan("toy", tmp_path, "model.new=null", f"model.path={tmp_path / 'none'}")
