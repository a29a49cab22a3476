"""run_rl on two gloo ranks: one set of logs, one policy, and a resume to the same weights.

Run under torchrun, this file is the rank's program (OUT POLICY).
"""

import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import pytest
import warm
from rl_runs import train
from tiny_lm import save_policy

from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.recipe.composition import Composition
from ringlite_cli.recipe.guard import Guard, HeldOut
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.train.rl.held_out import HeldOutSet


def verify(pairs):
    return [Verdict("x", float(text.count("w1") % 2)) for _, text in pairs]


def paired(before, after, level):
    return 0.0, (-1.0, 1.0)


HELD_OUT = [Problem(id=f"h{i}", domain="math", prompt=f"w{i} w{i + 20}") for i in range(3)]


def rank_main(out: Path, policy: Path) -> None:
    problems = [Problem(id=f"p{i}", domain="math", prompt=f"w{i} w{i + 1}", answer="1") for i in range(12)]
    trl = {"num_generations": 4, "max_completion_length": 12, "learning_rate": 2e-3, "save_steps": 2, "beta": 0.01}
    options = {
        "prompts_per_step": 4,
        "steps": 4,
        "token_budget": 60,
        "token_budget_scope": "global",
        "row_tokens": 32,
        "router_z_loss_coef": 1e-4,
        "composition": Composition.made(weights={"math": {"math": 1.0, "science": 0.0}}),
        "held_out": HeldOutSet(HELD_OUT, paired),
        "guard": Guard(held_out=HeldOut(data="curate.eval", every=2)),
    }
    result = train(policy, problems, verify, out, trl=trl, **options)
    assert result.tokens_trained == 240


@pytest.mark.slow
def test_two_ranks_leave_one_run_and_resume_to_the_same_weights(tmp_path):
    policy, out = save_policy(tmp_path / "start", "ernie4_5_moe"), tmp_path / "out"

    def launch():
        launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", __file__]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}
        done = warm.run([*launcher, str(out), str(policy)], timeout=300, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]
        assert [row["step"] for row in read_jsonl(out / "metrics.jsonl")] == [1, 2, 3, 4]
        rollouts = read_jsonl(out / "rollouts.jsonl")
        assert len(rollouts) == 4 * 16
        for row in rollouts:  # parts of both ranks, each beside its own response
            assert row["reward_parts"] == {"math": row["reward"], "science": row["reward"]}
            assert row["reward"] == float(row["response"].count("w1") % 2)
        held_out = [row.get("held_out_by_domain", {}).get("math") for row in read_jsonl(out / "metrics.jsonl")]
        assert held_out[2] is None
        assert all(round(3 * held_out[step]) / 3 == held_out[step] for step in (0, 1, 3))
        return (out / "policy" / "model.safetensors").read_bytes()

    undisturbed = launch()
    shutil.rmtree(out / "checkpoints" / "checkpoint-4")
    shutil.rmtree(out / "policy")
    assert launch() == undisturbed


if __name__ == "__main__":
    rank_main(Path(sys.argv[1]), Path(sys.argv[2]))
