"""`ringlite plan`: what a recipe resolves to, before any work."""

import json
import re
from pathlib import Path

import pytest

from ringlite_cli.errors import RecipeErrors
from ringlite_cli.recipe.load import shipped_recipes
from ringlite_cli.runs.files import read_json, write_json
from ringlite_cli.stages.commands.check import load_checked
from ringlite_cli.stages.commands.plan import count_parameters, print_plan
from ringlite_cli.stages.parts.costs import tokens_of
from ringlite_cli.stages.parts.memory import shape_for


class Lines:
    """A console that keeps its lines."""

    wants_json = False

    def __init__(self) -> None:
        self.text = ""

    def answer(self, line: str, style: str = "") -> None:
        self.text += line + "\n"


def plan(name: str, runs: Path, *overrides: str) -> str:
    console = Lines()
    print_plan(load_checked(name, overrides), console, runs)
    return console.text


@pytest.fixture(autouse=True)
def few_games(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a look at the games of a recipe take no seconds."""
    monkeypatch.setattr("ringlite_cli.stages.preflight.games._SECONDS", 0.1)


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_has_a_plan(name: str, tmp_path: Path) -> None:
    text = plan(name, tmp_path)
    assert all(stage in text for stage in load_checked(name).stages)


def test_a_last_sft_after_rl_is_planned_as_what_it_is(tmp_path: Path) -> None:
    """No stage chooses among its checkpoints, and its traces are the policy's own right responses."""
    text = plan("ring-lite-2507", tmp_path)
    assert text.count("checkpoints for select to choose from") == 1
    assert (
        "traces of the policy of rl-general: at most 4 responses a problem, the shortest that is right is kept" in text
    )
    assert "set last (train): general 70%, trace_round=1 30%" in text
    assert text.index("rl-general: C3PO") < text.index("collect: clean") < text.index("general-sft: Long-CoT")


def test_the_batch_plan_follows_the_recipes_numbers(tmp_path: Path) -> None:
    text = plan("toy", tmp_path, "stages.rl-math.trl.max_steps=7")
    assert "L = 4 prompts x K = 4 responses = 16 responses of at most 48 tokens" in text
    assert "Phi = 512 response tokens (global), cut exact" in text
    assert "7 steps: at most 3,584 tokens trained, 112 rollouts" in text
    assert "132 traces x 2 epochs" in text


def test_steps_that_are_given_go_before_epochs(tmp_path: Path) -> None:
    """What TRL trains by: 5 steps of 8 rows of 256 tokens, whatever the epochs say; and a part of an epoch counts."""
    text = plan("toy", tmp_path, "stages.sft.trl.max_steps=5")
    assert "5 steps over 132 traces; batch 8 rows of at most 256 tokens" in text
    assert "at most 10,240 tokens seen by a rank" in text
    assert "checkpoints: 1 an epoch, and that of the last step for select to choose from" in text
    assert "132 traces x" not in text
    recipe = load_checked("toy", ("stages.sft.trl.max_steps=5",))
    assert (tokens_of(recipe, "sft", 132), tokens_of(recipe, "select", 12)) == (10_240, None)
    assert "3 checkpoints for select" in plan("toy", tmp_path, "stages.sft.trl.num_train_epochs=2.25")


def test_a_plan_of_carried_rollouts_promises_no_number_of_them(tmp_path: Path) -> None:
    """A step takes as many groups as hold its budget: 6 steps of the toy recipe took 9 of the 24 of mode wait."""
    carries = ("stages.rl-math.rollouts={mode: carry, in_flight: 8}", "stages.rl-math.trl.max_steps=6")
    text = plan("toy", tmp_path, *carries)
    assert _lines_of_rl_math(text, "in flight:") == (
        "in flight: 8 responses of at most 48 tokens; a step takes complete groups of K = 4 until they hold its budget"
    )
    assert _lines_of_rl_math(text, "6 steps:") == "6 steps: at most 3,072 tokens trained"
    text = plan("toy", tmp_path, *carries, "stages.rl-math.algorithm=grpo")
    assert "a step takes 4 complete groups of K = 4" in _lines_of_rl_math(text, "in flight:")


def test_a_plan_counts_the_rollouts_that_refilling_may_ask(tmp_path: Path) -> None:
    text = plan("toy", tmp_path, "stages.rl-math.undershoot=refill")
    assert (
        _lines_of_rl_math(text, "3 steps:")
        == "3 steps: at most 1,536 tokens trained, 48 rollouts, and up to 96 to refill"
    )


def test_the_rows_are_those_of_the_largest_step_of_a_budget_that_grows(tmp_path: Path) -> None:
    end, steps = "stages.rl-math.token_budget_end=768", ("stages.rl-math.budget_steps=2",)
    texts = {
        "start": plan("toy", tmp_path, "stages.rl-math.token_budget=64"),
        "end": plan("toy", tmp_path, "stages.rl-math.token_budget=768"),
        **{
            kind: plan(
                *("toy", tmp_path, "stages.rl-math.token_budget=64", f"stages.rl-math.budget_schedule={kind}", end),
                *more,
            )
            for kind, more in (("linear", steps), ("adaptive", ()))
        },
    }
    rows = {name: _lines_of_rl_math(text, "packed:") for name, text in texts.items()}
    assert rows["linear"] == rows["adaptive"] == rows["end"] != rows["start"]
    assert "Phi = 64 response tokens (global), growing to 768 (linear)" in texts["linear"]


def _lines_of_rl_math(text: str, start: str) -> str:
    """The first line of a plan that begins so: the toy recipe's rl-math stands before its rl-mixed."""
    return next(line.strip() for line in text.splitlines() if line.strip().startswith(start))


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
    """16.8B and 2.75B are the paper's own figures (section 1); 4 bytes a parameter and part, 8 of AdamW's moments."""
    text = plan("ring-lite", tmp_path)
    assert "inclusionAI/Ling-lite-1.5, 16.80B parameters (2.75B active), bfloat16" in text
    assert "480 steps: at most 196,608,000 tokens trained a rank, 3,932,160 rollouts" in text
    assert "on 8 GPUs: a step trains 3,276,800 tokens, 1,024 responses a GPU" in text
    assert "on 16 GPUs: a step trains 6,553,600 tokens, 512 responses a GPU" in text
    assert "on 256 GPUs: a step trains 104,857,600 tokens, 32 responses a GPU" in text
    parts = "held: weights 7.8 GiB, gradients 7.8 GiB, optimizer 15.6 GiB, reference 7.8 GiB, layers gathered whole"
    assert parts in text
    assert "weights 31.3 GiB, keys and values of 26 of 32 responses under way at full length (56 KiB a token" in text
    assert "longest row of one sample: 23,680 tokens" in text
    assert "does not fit" not in text


def test_a_plan_is_made_for_the_gpus_that_are_asked_for_and_says_what_does_not_fit(tmp_path: Path) -> None:
    console = Lines()
    fp32 = ("stages.rl-math.trl.optim=adamw_torch", "stages.rl-mixed.trl.optim=paged_adamw_8bit")
    print_plan(load_checked("ring-lite", fp32), console, tmp_path, gpus=[4], gpu_memory=79.2)
    assert "on 8 GPUs" not in console.text
    math, _, mixed = console.text.partition("rl-math:")[2].partition("rl-mixed:")
    assert "does not fit: the engine needs" in math
    assert "weights 15.6 GiB, optimizer 31.3 GiB, reference 15.6 GiB" in math
    assert "in the host's memory: 7.8 GiB for each GPU" in mixed
    assert "does not fit" not in mixed


def test_a_reward_model_is_planned_whole_on_each_gpu(tmp_path: Path) -> None:
    """FSDP2 is refused there: a plan that shares it out promises room that no run has."""
    recipe, console = load_checked("toy-2507"), Lines()
    print_plan(recipe, console, tmp_path, gpus=[8])
    (held,) = re.findall(r"memory on 8 GPUs, a whole model on each, .*\n *held: (.*)", console.text)
    shape = shape_for(recipe.model, recipe.stages["preference"])
    assert shape
    assert held.startswith(
        f"weights {4 * shape.total / 2**20:,.1f} MiB, gradients {4 * shape.trained / 2**20:,.1f} MiB"
    )
    assert "gathered" not in held


def test_a_small_model_is_planned_on_one_gpu(tmp_path: Path) -> None:
    assert plan("toy", tmp_path).count("memory on 1 GPU, each of 79.2 GiB:") == 3


def test_responses_that_the_trainer_s_own_model_draws_are_planned(tmp_path: Path) -> None:
    """toy: 2 layers x 2 key heads x 32 x (keys and values), in float32, of 176 tokens with the prompt."""
    text = plan("toy", tmp_path)
    assert (
        text.count("drawing: keys and values of 16 responses in one batch at full length 2.8 MiB (1 KiB a token)") == 2
    )
    assert text.count("while responses are drawn") == 2
    assert "may not fit" not in text
    console = Lines()
    print_plan(load_checked("toy", ()), console, tmp_path, gpu_memory=0.601)
    assert "may not fit: drawing responses takes up to 0.6 GiB (keys and values of 16 responses" in console.text


def test_a_plan_tells_the_parameters_of_an_adapter_as_they_are_trained(tmp_path: Path) -> None:
    from peft import get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    from ringlite_cli.models.lora_targets import lora_config, targets_as_given

    recipe = load_checked("toy", ())
    assert recipe.model.new is not None
    fields = {**recipe.model.new.config, "vocab_size": recipe.model.new.vocab_size}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(fields.pop("model_type"), **fields))
    size = sum(p.numel() for p in model.parameters())
    with targets_as_given():
        adapted = get_peft_model(model, lora_config({"r": 4}))
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    keys = [f"stages.rl-math.{key}" for key in ("lora={r: 4}", "router_balance_coef=0", "router_z_loss_coef=0")]
    text = plan("toy", tmp_path, *keys)
    assert f"adapter: {trained:,} parameters are trained, beside {size:,} that stay" in text
    assert text.count("\n  adapter: ") == 1


def test_a_plan_says_how_rows_will_be_run(tmp_path: Path) -> None:
    assert "; packed rows (ringlite_packed)" in plan("toy", tmp_path)
    state_space = {"model_type": "mamba", "hidden_size": 32, "state_size": 8, "num_hidden_layers": 2}
    assert "; packing: none, samples in padded batches, slower" in plan(
        "toy", tmp_path, f"model.new.config={json.dumps(state_space)}"
    )


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


@pytest.mark.parametrize("change", ["num_hidden_layers=abc", "hidden_size=63"])
def test_a_config_that_transformers_refuses_is_told_by_a_plan(change: str, tmp_path: Path) -> None:
    """It refuses with kinds of its own, which are no ValueError."""
    with pytest.raises(RecipeErrors, match=r"model\.new\.config: transformers refuses this config"):
        plan("toy", tmp_path, f"model.new.config.{change}", "model.new.config.model_type=llama")


def test_a_plan_for_a_number_of_gpus_that_a_run_would_refuse_says_so(tmp_path: Path) -> None:
    console = Lines()
    drawing = ("use_vllm=true", "vllm_mode=colocate", "vllm_tensor_parallel_size=2")
    fields = [f"stages.rl-math.trl.{each}" for each in drawing]
    print_plan(load_checked("toy", fields), console, tmp_path, gpus=[3, 4], gpu_memory=8)
    three, _, four = console.text.partition("rl-math:")[2].partition("rl-mixed:")[0].partition("memory on 4 GPUs")
    assert "3 GPUs are refused: prompts_per_step: 4 prompts x 4 responses cannot be shared evenly by 3 ranks" in three
    assert "3 GPUs are refused: trl.vllm_tensor_parallel_size: an engine spreads over 2 of them" in three
    assert "responses a GPU" not in three.partition("3 GPUs are refused")[0]
    assert "refused" not in four


def test_a_stage_that_draws_nothing_is_not_told_of_drawing_and_no_share_is_below_nothing(tmp_path: Path) -> None:
    console = Lines()
    print_plan(load_checked("ring-lite", ()), console, tmp_path, gpus=[2], gpu_memory=16)
    sft, _, rl = console.text.partition("sft:")[2].partition("rl-math:")
    assert "does not fit: an update takes" in sft
    assert "drawing responses" not in sft
    assert "engine: 0% of the GPU, 0.0 MiB" in rl
    assert "-1%" not in console.text
