"""C3POTrainer in a script: it derives its rows, and keeps updates in hand over a resume by itself."""

import sys
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from tiny_lm import save_policy

from ringlite import C3POConfig, C3POTrainer, verifiers

SMALL = {
    "prompts_per_step": 4,
    "token_budget": 60,
    "num_generations": 4,
    "max_completion_length": 16,
    "row_tokens": 32,
    "max_steps": 4,
    "learning_rate": 1e-2,
    "report_to": "none",
    "disable_tqdm": True,
    "gradient_checkpointing": False,
}


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_policy(tmp_path_factory.mktemp("policy"), "qwen3_moe")


def prompts(count: int = 16) -> Dataset:
    return Dataset.from_list([{"prompt": f"w{i} w{i + 1}", "answer": str(i)} for i in range(count)])


def likes_w1(completions: list[str], **_: object) -> list[float]:
    return [float(text.count("w1") % 2) for text in completions]


def trainer(policy: Path, out: Path, **keys: object) -> C3POTrainer:
    args = C3POConfig(str(out), **(SMALL | keys))
    return C3POTrainer(model=str(policy), reward_funcs=likes_w1, args=args, train_dataset=prompts())


def test_rows_follow_from_the_prompts_and_the_budget(policy: Path, tmp_path: Path) -> None:
    args = trainer(policy, tmp_path).args
    # 60 tokens of responses and 16 prompts of a few tokens are several rows of 32
    assert args.gradient_accumulation_steps > 1
    assert args.gradient_accumulation_steps * args.per_device_train_batch_size == 16
    long = trainer(policy, tmp_path, row_tokens=512).args
    assert (long.gradient_accumulation_steps, long.steps_per_generation) == (1, 1)


@pytest.mark.slow
def test_updates_in_hand_survive_a_resume(policy: Path, tmp_path: Path) -> None:
    """Step 1 of 2 updates is saved; the run that goes on from there ends with the weights of one that never stopped."""
    keys = {"updates_per_rollout": 2, "save_steps": 1, "save_strategy": "steps"}
    whole = trainer(policy, tmp_path / "whole", **keys)
    whole.train()
    resumed = trainer(policy, tmp_path / "resumed", **keys)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))  # a folder that is not its own
    assert resumed.state.global_step == 4
    for (name, one), other in zip(whole.model.named_parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other), name
    start = trainer(policy, tmp_path / "start", **keys).model
    assert any(not torch.equal(*pair) for pair in zip(whole.model.parameters(), start.parameters(), strict=True))


@pytest.mark.slow
def test_the_example_as_it_stands(policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """examples/c3po_in_trl.py, as a user runs it."""
    import json
    import runpy

    examples = Path(__file__).parents[2] / "examples"
    file = tmp_path / "problems.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in prompts()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["c3po_in_trl.py", str(policy), str(file)])
    steps = []
    step = C3POTrainer.training_step
    monkeypatch.setattr(C3POTrainer, "training_step", lambda self, *a, **k: steps.append(1) or step(self, *a, **k))
    runpy.run_path(str(examples / "c3po_in_trl.py"), run_name="__main__")
    assert steps


def test_the_reward_reads_the_answer_column() -> None:
    reward = verifiers.math(workers=1)
    try:
        given = [r"so \boxed{4}", r"so \boxed{5}", [{"role": "assistant", "content": r"\boxed{4}"}]]
        assert reward(prompts=["2+2?"] * 3, completions=given, answer=["4"] * 3) == [1.0, 0.0, 1.0]
        assert reward(prompts=["2+2?"] * 3, completions=given, solution=[r"\boxed{4}"] * 3)[0] == 1.0
    finally:
        reward.close()


def test_a_missing_answer_column_is_named() -> None:
    from ringlite import UserError

    with pytest.raises(UserError, match=r"the math verifier finds no column 'answer' or 'solution'.*there are target"):
        verifiers.math()(completions=["x"], target=["4"])
