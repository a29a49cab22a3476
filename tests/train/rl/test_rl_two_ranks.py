"""run_rl on two gloo ranks: one set of logs, one policy, and a resume to the same weights.

Run under torchrun, this file is the rank's program (OUT POLICY).
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import pytest
import torch
from rl_runs import train
from tiny_lm import save_policy
from transformers import AutoModelForCausalLM

from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.runs.files import read_jsonl


def verify(pairs):
    return [Verdict("x", float(text.count("w1") % 2)) for _, text in pairs]


def rank_main(out: Path, policy: Path) -> None:
    problems = [Problem(id=f"p{i}", domain="math", prompt=f"w{i} w{i + 1}") for i in range(12)]
    trl = {"num_generations": 4, "max_completion_length": 12, "learning_rate": 2e-3, "save_steps": 2, "beta": 0.01}
    options = {
        "prompts_per_step": 4,
        "steps": 4,
        "token_budget": 60,
        "token_budget_scope": "global",
        "row_tokens": 32,
        "router_z_loss_coef": 1e-4,
    }
    result = train(policy, problems, verify, out, trl=trl, **options)
    assert result.tokens_trained == 240


@pytest.mark.slow
def test_two_ranks_leave_one_run_and_resume_to_the_same_weights(tmp_path):
    policy, out = save_policy(tmp_path / "start", "ernie4_5_moe"), tmp_path / "out"

    def launch():
        launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", __file__]
        done = subprocess.run(
            [*launcher, str(out), str(policy)],
            capture_output=True,
            text=True,
            timeout=300,
            env=os.environ | {"OMP_NUM_THREADS": "1", "TRL_EXPERIMENTAL_SILENCE": "1"},
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert [row["step"] for row in read_jsonl(out / "metrics.jsonl")] == [1, 2, 3, 4]
        assert len(read_jsonl(out / "rollouts.jsonl")) == 4 * 16
        return (out / "policy" / "model.safetensors").read_bytes()

    undisturbed = launch()
    shutil.rmtree(out / "checkpoints" / "checkpoint-4")
    shutil.rmtree(out / "policy")
    assert launch() == undisturbed


@pytest.mark.slow
def test_two_ranks_under_fsdp2_train_what_one_process_trains(tmp_path):
    """The shipped FSDP2 configuration, on two CPU ranks: the same steps as DDP's, and a whole policy."""
    policy, out = save_policy(tmp_path / "start", "ernie4_5_moe"), tmp_path / "out"
    shipped = (Path(__file__).parents[3] / "launch" / "fsdp2.yaml").read_text()
    config = tmp_path / "fsdp2.yaml"
    config.write_text(shipped.replace("num_processes: 8", "num_processes: 2\nuse_cpu: true\nmain_process_port: 0"))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}

    def launch(target: Path, *launcher: str) -> list[dict]:
        command = [sys.executable, "-m", *launcher, __file__, str(target), str(policy)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]
        return read_jsonl(target / "metrics.jsonl")

    sharded = launch(out, "accelerate.commands.launch", "--config_file", str(config))
    plain = launch(tmp_path / "ddp", "torch.distributed.run", "--nproc-per-node=2", "--standalone")
    first, expected = sharded[0], plain[0]
    assert first["loss"] == pytest.approx(expected["loss"], abs=1e-5)
    assert first["grad_norm"] == pytest.approx(expected["grad_norm"], rel=1e-4)
    assert [row["tokens_trained"] for row in sharded] == [60] * 4
    start, end = (AutoModelForCausalLM.from_pretrained(f).state_dict() for f in (policy, out / "policy"))
    assert start.keys() == end.keys()
    assert any(not torch.equal(start[name], end[name]) for name in start if "experts" in name)


if __name__ == "__main__":
    rank_main(Path(sys.argv[1]), Path(sys.argv[2]))
