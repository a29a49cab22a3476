"""The reward-model stage: trained from a file, stopped and resumed, made of two policies' responses, used by RL."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_lm import save_policy

from ringlite_cli.console import Console
from ringlite_cli.errors import Interrupted, UserError
from ringlite_cli.problems import Problem
from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.report.build import write_report
from ringlite_cli.rewards import Verifiers, VerifierSettings
from ringlite_cli.runs.files import read_json, read_jsonl
from ringlite_cli.runs.manifest import Manifest, read_manifest
from ringlite_cli.stages.walk.decide import Walk
from ringlite_cli.stages.walk.pipeline import choose_stages, run_pipeline
from ringlite_cli.stages.walk.preflight import findings

TRL = "{learning_rate: 3e-3, num_train_epochs: 6, per_device_train_batch_size: 8, save_steps: 4, max_length: 40}"


def write_pairs(path: Path, count: int = 60) -> None:
    """Pairs that are easy to learn: the better response says w7 somewhere, the worse one w9."""
    draw = random.Random(5)
    rows = []
    for n in range(count):
        words = [f"w{draw.randint(10, 50)}" for _ in range(draw.randint(2, 9))]
        place = draw.randint(0, len(words))
        sides = [" ".join([*words[:place], word, *words[place:]]) for word in ("w7", "w9")]
        rows.append({"prompt": f"w{n % 50} w{n // 2}", "chosen": sides[0], "rejected": sides[1]})
    rows += [{"prompt": "w1", "chosen": "w2", "rejected": "w2 "}, {"prompt": "w1", "chosen": "", "rejected": "w3"}]
    rows += [{"prompt": "w1", "chosen": "w2 " * 90, "rejected": "w3"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    write_pairs(tmp_path / "pairs.jsonl")
    model = save_policy(tmp_path / "model", "llama")
    path = tmp_path / "recipe.yaml"
    path.write_text(f"""\
name: rm
model: {{path: {model}, dtype: float32}}
end_token: <eos>
stages:
  rm:
    kind: reward-model
    data: {{path: {tmp_path / "pairs.jsonl"}}}
    held_out: 0.3
    trl: {TRL}
""")
    return path


def walk(path: Path, run: Path, *overrides: str) -> None:
    recipe = load_recipe(str(path), overrides)
    run_pipeline(recipe, run, Walk(choose_stages(recipe)), Console())


def manifest(run: Path, stage: str = "rm") -> Manifest:
    found = read_manifest(run / stage)
    assert found is not None
    return found


@pytest.mark.slow
def test_a_reward_model_from_a_file(recipe_file: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    walk(recipe_file, run)
    folder = run / "rm"
    numbers = read_json(folder / "held_out.json")
    assert numbers["accuracy"] > 0.9
    low, high = numbers["ci95"]
    assert low < numbers["accuracy"] <= high
    assert sum(each["pairs"] for each in numbers["bins"]) == numbers["pairs"] == len(numbers["margins"])
    assert read_json(folder / "pairs.json")["left_out"] == {"equal responses": 1, "an empty response": 1}
    rows = read_jsonl(folder / "pairs.jsonl")
    asked = [{json.dumps(row["prompt"]) for row in rows if row["held_out"] == held} for held in (True, False)]
    assert not asked[0] & asked[1]
    assert "<svg" in (folder / "calibration.svg").read_text()
    steps = read_jsonl(folder / "metrics.jsonl")
    assert [row["step"] for row in steps] == list(range(1, len(steps) + 1))
    assert steps[-1]["loss"] < steps[0]["loss"]
    found = manifest(run)
    assert found.metrics["accuracy"] == numbers["accuracy"]
    assert found.outputs["reward_model"]["path"] == "rm/reward_model"
    with Verifiers(VerifierSettings(workers=1, reward_model=str(folder / "reward_model"))) as verify:
        problem = Problem("p", "general", "w1 w2", verifier="reward-model")
        good, bad = verify([(problem, "w20 w7"), (problem, "w20 w9")])
    assert good.reward > 0.5 > bad.reward
    assert not (folder / "base").exists()
    page = write_report(run).read_text(encoding="utf-8")
    assert "held-out pairs are ranked right" in page
    assert "Calibration" in page
    walk(recipe_file, run)
    assert manifest(run).started == found.started  # fresh: nothing is trained again
    with (tmp_path / "pairs.jsonl").open("a") as file:
        file.write('{"prompt": "w3", "chosen": "w7", "rejected": "w9"}\n')
    walk(recipe_file, run)
    assert manifest(run).fingerprint != found.fingerprint


@pytest.fixture
def stopped_after(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """Ask the training to stop, as a signal does, at the end of a step."""
    from ringlite_cli.train.resume.stop import StopFlag

    wanted = {"step": 0}
    plain = StopFlag.on_step_end

    def end(self: StopFlag, args: Any, state: Any, control: Any, **more: Any) -> Any:
        self.requested = self.requested or state.global_step == wanted["step"]
        return plain(self, args, state, control, **more)

    monkeypatch.setattr(StopFlag, "on_step_end", end)
    return wanted


@pytest.mark.slow
def test_a_stopped_training_goes_on_to_the_same_weights(
    recipe_file: Path, tmp_path: Path, stopped_after: dict[str, int]
) -> None:
    from safetensors.torch import load_file

    walk(recipe_file, tmp_path / "whole")
    stopped_after["step"] = 6
    with pytest.raises(Interrupted, match="stopped after step 6"):
        walk(recipe_file, tmp_path / "run")
    assert manifest(tmp_path / "run").status == "interrupted"
    walk(recipe_file, tmp_path / "run")
    kept = [load_file(tmp_path / run / "rm" / "reward_model" / "model.safetensors") for run in ("whole", "run")]
    assert all((kept[0][name] == kept[1][name]).all() for name in kept[0])
    rows = [read_jsonl(tmp_path / run / "rm" / "metrics.jsonl") for run in ("whole", "run")]
    assert [row["step"] for row in rows[0]] == [row["step"] for row in rows[1]]
    assert [row["tokens_trained"] for row in rows[0]] == [row["tokens_trained"] for row in rows[1]]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            [{"prompt": "w1", "chosen": "w2", "rejected": "w2"}],
            "none of the first 1 rows is a pair (1 equal",
        ),
        ([{"prompt": "w1", "chosen": "w2"}], "no column 'rejected'"),
        ([{"chosen": "w2", "rejected": "w3"}], "no prompt, and chosen holds none"),
    ],
)
def test_rows_that_are_no_pairs_are_named_before_anything_moves(
    recipe_file: Path, tmp_path: Path, rows: list[dict[str, str]], said: str
) -> None:
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError) as refused:
        walk(recipe_file, tmp_path / "run")
    assert said in str(refused.value)
    assert not (tmp_path / "run" / "rm").exists()


def test_ties_at_the_head_of_a_long_file_are_a_warning(recipe_file: Path, tmp_path: Path) -> None:
    tie, pair = {"prompt": "w1", "chosen": "w2", "rejected": "w2"}, {"prompt": "w1", "chosen": "w2", "rejected": "w3"}
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*[tie] * 1000, pair]))
    (found,) = findings(load_recipe(str(recipe_file)), tmp_path / "run", ["rm"], Console())
    assert not found.fatal
    assert "none of the first 1000 rows is a pair (1000 equal" in str(found)


def test_a_sharded_launch_is_refused_before_anything_moves(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    monkeypatch.setenv("FSDP_AUTO_WRAP_POLICY", "TRANSFORMER_BASED_WRAP")
    with pytest.raises(UserError, match="shares weights out"):
        walk(recipe_file, tmp_path / "run")
    assert not (tmp_path / "run" / "rm").exists()


@pytest.mark.slow
def test_pairs_of_two_policies_and_the_rl_that_is_rewarded_by_them(tmp_path: Path) -> None:
    rl = "policy: sft, prompts_per_step: 2, token_budget: 64, row_tokens: 256"
    path = tmp_path / "recipe.yaml"
    path.write_text(f"""\
name: made
model:
  dtype: float32
  new:
    vocab_size: 384
    config: {{model_type: llama, hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 2,
      intermediate_size: 64, max_position_embeddings: 256, tie_word_embeddings: true}}
rewards: {{reward_model: rm, answer_in_thought: true}}
stages:
  curate:
    kind: curate
    sources:
      - {{generator: arithmetic, rows: 24, split: train}}
      - {{generator: arithmetic, rows: 12, split: eval, verifier: reward-model}}
    sets: {{traces: {{split: train, traces: true}}, math: {{split: train}}, open: {{split: eval}}}}
  sft: {{kind: sft, data: curate.traces, trl: {{max_steps: 25, max_length: 200, learning_rate: 1e-2}}}}
  rm:
    kind: reward-model
    policy: sft
    pairs: {{policies: [base, sft], data: curate.math, rule: longer, max_completion_length: 16, num_generations: 2}}
    held_out: 0.4
    trl: {{max_steps: 2, per_device_train_batch_size: 4}}
  rl: {{kind: rl, {rl}, data: curate.open, trl: {{max_steps: 1, num_generations: 2, max_completion_length: 16}}}}
""")
    run = tmp_path / "run"
    walk(path, run)
    account = read_json(run / "rm" / "pairs.json")
    assert account["pairs"] + sum(account["left_out"].values()) == account["rows"]
    rows = read_jsonl(run / "rm" / "pairs.jsonl")
    assert rows
    assert all(len(row["chosen"]) > len(row["rejected"]) for row in rows)
    assert "rm/reward_model" in manifest(run, "rl").inputs
    rollouts = read_jsonl(run / "rl" / "rollouts.jsonl")
    assert all(row["detail"].startswith("model 0.") for row in rollouts if row["verdict"] in ("correct", "wrong"))
    assert any(row["verdict"] in ("correct", "wrong") for row in rollouts)
    before = [manifest(run, name).fingerprint for name in ("rm", "rl")]
    walk(path, run, "stages.rm.trl.max_steps=3")
    after = [manifest(run, name).fingerprint for name in ("rm", "rl")]
    assert before[0] != after[0]
    assert before[1] != after[1]  # RL is made again with the new scores
