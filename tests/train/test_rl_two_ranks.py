"""run_rl on two gloo ranks: one set of logs, one policy, and a resume to the same weights.

Run under torchrun, this file is the rank's program (OUT POLICY).
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pytest
from tiny_lm import save_policy

from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.train.rl import run_rl


def verify(pairs):
    return [Verdict("x", float(text.count("w1") % 2)) for _, text in pairs]


def rank_main(out: Path, policy: Path) -> None:
    problems = [Problem(id=f"p{i}", domain="math", prompt=f"w{i} w{i + 1}") for i in range(12)]
    trl = {"num_generations": 4, "max_completion_length": 12, "learning_rate": 2e-3, "save_steps": 2, "beta": 0.01}
    options = {"prompts_per_step": 4, "steps": 4, "token_budget": 60, "row_tokens": 32, "router_z_loss_coef": 1e-4}
    result = run_rl(policy, problems, verify, out, trl=trl, **options)
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


if __name__ == "__main__":
    rank_main(Path(sys.argv[1]), Path(sys.argv[2]))
