"""A rank that dies: the launch ends, the others say why, and the same launch goes on from the last checkpoint.

Run under torchrun, this file is the rank's program (OUT POLICY).
"""

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pytest
import warm
from rl_runs import train
from tiny_lm import save_policy

from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.stages.walk.failures import as_failure


def rank_main(out: Path, policy: Path) -> None:
    dies = os.environ["RANK"] == "1" and not (out / "died").exists()

    def verify(pairs):
        if dies and (out / "checkpoints" / "checkpoint-2").exists():
            (out / "died").touch()
            os.kill(os.getpid(), 9)
        return [Verdict("x", float(text.count("w1") % 2)) for _, text in pairs]

    problems = [Problem(id=f"p{i}", domain="math", prompt=f"w{i} w{i + 1}") for i in range(12)]
    trl = {"num_generations": 4, "max_completion_length": 12, "learning_rate": 2e-3, "save_steps": 2}
    try:
        keys = {"prompts_per_step": 4, "token_budget": 60, "token_budget_scope": "global", "row_tokens": 32}
        train(policy, problems, verify, out, trl=trl, steps=4, **keys)
    except RuntimeError as error:
        print(f"rank {os.environ['RANK']}: {as_failure(error, out)}", file=sys.stderr, flush=True)
        raise SystemExit(1) from None


@pytest.mark.slow
def test_a_rank_that_dies_ends_the_launch_and_the_next_one_goes_on(tmp_path: Path) -> None:
    policy, out = save_policy(tmp_path / "start", "qwen3"), tmp_path / "out"

    def launch() -> subprocess.CompletedProcess:
        launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", __file__]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}
        command = [*launcher, str(out), str(policy)]
        return warm.run(command, timeout=120, env=environment)

    first = launch()
    assert first.returncode != 0
    assert (out / "died").exists(), first.stderr[-2000:]
    assert not (out / "policy").exists()
    second = launch()
    assert second.returncode == 0, second.stderr[-2000:]
    assert [row["step"] for row in read_jsonl(out / "metrics.jsonl")] == [1, 2, 3, 4]
    assert (out / "policy" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    "said",
    [
        "[../third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:47619",
        "[Rank 0] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=12) ran for 600000 ms",
    ],
)
def test_what_the_others_say_names_the_way_on(said: str) -> None:
    message = str(as_failure(RuntimeError(said), Path("runs/x/rl")))
    assert message.startswith("runs/x/rl: another rank of this run is gone (")
    assert "the same launch goes on from the last checkpoint" in message


if __name__ == "__main__":
    rank_main(Path(sys.argv[1]), Path(sys.argv[2]))
