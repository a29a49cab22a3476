"""A reward model's pairs on several ranks: each counts once an epoch, as on one.

Run under torchrun, this file is a rank's program (OUT BASE PAIRS_A_RANK).
"""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import pytest
import warm
from reward_models import make_tokenizer
from tiny_lm import save_policy

from ringlite_cli.train.reward_model.run import run_reward_model
from ringlite_cli.train.reward_model.samples import pair_samples

ASKED = [{"role": "user", "content": "why ?"}]
PAIRS = [(ASKED, "good " * n + "fine", "bad " * (9 - n) + "poor") for n in range(1, 8)]


def rank_main(out: Path, base: Path, size: int) -> None:
    rows: list[dict] = []
    trl = {"per_device_train_batch_size": size, "num_train_epochs": 2, "learning_rate": 1e-2}
    trl |= {"gradient_accumulation_steps": 2, "center_rewards_coefficient": 0.1}
    samples = pair_samples(make_tokenizer(), PAIRS, 64, truncate=False)
    run_reward_model(base, samples, out, trl=trl, dtype="float32", on_step=rows.append)
    if os.environ.get("RANK", "0") == "0":
        (out / "rows.json").write_text(json.dumps(rows))


@pytest.mark.slow
@pytest.mark.parametrize("size", [4, 6])
def test_two_ranks_train_what_one_does(tmp_path: Path, size: int) -> None:
    """7 pairs: batches of 4 leave 3, one of 6 leaves a single one, which the second rank repeats for its loss of 0."""
    base = save_policy(tmp_path / "base", "llama")
    make_tokenizer().save_pretrained(base)
    found = []
    for ranks in (1, 2):
        out = tmp_path / str(ranks)
        launcher = ["-m", "torch.distributed.run", f"--nproc-per-node={ranks}", "--standalone", __file__]
        command = [sys.executable, *launcher, str(out), str(base), str(size // ranks)]
        done = warm.run(command, timeout=120, env=os.environ | {"OMP_NUM_THREADS": "1"})
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(json.loads((out / "rows.json").read_text()))
    for alone, together in zip(*found, strict=True):
        del alone["step_seconds"], together["step_seconds"]
        assert together == pytest.approx(alone, rel=1e-4, abs=1e-5)


if __name__ == "__main__":
    rank_main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
