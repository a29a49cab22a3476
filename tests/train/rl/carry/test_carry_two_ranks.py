"""Mode carry on two gloo ranks: a pool each, equally many groups of both in a step, and a resume to the same weights.

Run under torchrun, this file is the rank's program (OUT POLICY KEYS).
"""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))

import pytest
import warm
from carry_runs import words
from rl_runs import rl
from tiny_lm import save_policy

from ringlite_cli.recipe.rl_settings import RlSettings
from ringlite_cli.runs.catalogue import timed
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.train.rl.carry.agreed import Ranks

TIMES = timed("rl")
KEYS = {"rollouts": {"mode": "carry", "in_flight": 16, "max_retention": 6}, "router_balance_coef": 0.0}
KEYS |= {"router_z_loss_coef": 0.0, "steps": 5, "trl": {"save_steps": 1, "save_total_limit": 5}}


def length(name: str) -> int:
    """Those of the second rank, whose groups have odd numbers, are long: it completes few groups."""
    group, place = map(int, name.split("-"))
    return 9 + place if group % 2 else 2 + (group + place) % 2


def rank_main(out: Path, policy: Path, keys: dict[str, Any]) -> None:
    engine = words(length)
    rl(policy, out, rollout_func=engine, **(KEYS | keys))
    asked = [ask.name for phase in engine.asked for ask in phase]
    (out / f"asked.{os.environ['RANK']}.json").write_text(json.dumps(asked))


def launch(policy: Path, out: Path, keys: dict[str, Any]) -> dict[str, Any]:
    """Run two ranks; return what they left, without times."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", __file__]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}
    done = warm.run([*command, str(out), str(policy), json.dumps(keys)], timeout=300, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [{k: v for k, v in row.items() if k not in TIMES} for row in read_jsonl(out / "metrics.jsonl")]
    weights = (out / "policy" / "model.safetensors").read_bytes()
    return {"weights": weights, "metrics": rows, "rollouts": read_jsonl(out / "rollouts.jsonl")}


@pytest.mark.slow
@pytest.mark.parametrize(("scope", "budget", "trained"), [("global", 60, 60), ("rank", 40, 80)])
def test_two_ranks_take_equally_many_groups_and_resume_to_the_same_weights(
    tmp_path: Path, scope: str, budget: int, trained: int
) -> None:
    policy, out = save_policy(tmp_path / "start", "llama", head_dim=32), tmp_path / "out"
    keys = {"token_budget": budget, "token_budget_scope": scope, "sampling": "difficulty"}
    undisturbed = launch(policy, out, keys)
    rows, rollouts = undisturbed["metrics"], undisturbed["rollouts"]
    assert [row["tokens_trained"] for row in rows] == [trained] * 5
    for step in range(1, 6):
        lengths = [row["tokens"] for row in rollouts if row["step"] == step]
        groups = [lengths[i : i + 4] for i in range(0, len(lengths), 4)]
        half = len(groups) // 2
        assert len(groups) == 2 * half
        assert all(max(group) <= 3 for group in groups[:half])  # the first rank's
        assert all(min(group) >= 9 for group in groups[half:])
    taken = sum(row["tokens"] for row in rollouts)
    assert sum(row["tokens_generated"] for row in rows) == taken + rows[-1]["tokens_carried_out"]
    assert any(row["retention"] for row in rollouts)
    for rank in (0, 1):
        asked = json.loads((out / f"asked.{rank}.json").read_text())
        assert {int(name.split("-")[0]) % 2 for name in asked} == {rank}

    for step in (4, 5):
        shutil.rmtree(out / "checkpoints" / f"checkpoint-{step}")
    shutil.rmtree(out / "policy")
    assert launch(policy, out, keys) == undisturbed
    for rank in (0, 1):
        since = json.loads((out / f"asked.{rank}.json").read_text())
        assert min(int(name.split("-")[0]) for name in since) > 1  # it did go on from the third step


class OfRanks:
    """As many ranks as there are lists, each of which would say the same."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, shares: bool, found: list[tuple[int, Any]]) -> None:
        accelerator = type("Accelerator", (), {"process_index": 0, "num_processes": len(found)})()
        self.ranks = Ranks(accelerator, shares=shares)
        monkeypatch.setattr("ringlite_cli.train.rl.carry.agreed.gather_object", lambda own: found)


@pytest.mark.parametrize(
    ("shares", "first", "second", "agreed"),
    [
        (True, [(20, 20)] * 3, [(40, 40)] * 2, (1, True)),  # 60 of both together
        (True, [(10, 10)] * 4, [(45, 45)], (3, False)),  # 55 with one group of each: the second rank needs two more
        (False, [(30, 30)] * 3, [(70, 70)] * 2, (2, True)),  # 60 on each
        (False, [(1, 40)] * 3, [(70, 70)] * 3, (3, True)),  # truncated ones count from 120 on
    ],
)
def test_ranks_agree_on_the_fewest_groups_that_hold_the_budget(
    monkeypatch: pytest.MonkeyPatch, shares: bool, first: Any, second: Any, agreed: tuple[int, bool]
) -> None:
    ranks = OfRanks(monkeypatch, shares=shares, found=[(3, first), (1, second)]).ranks
    assert ranks.groups(3, first, wanted=60, most=120) == agreed


def test_what_carry_cannot_share_among_processes_is_told_before_the_run() -> None:
    trl = {"max_steps": 1, "use_vllm": True, "num_generations": 8}
    for more, message in (
        ({"vllm_mode": "server"}, "through a server for one process that trains, not for 2"),
        ({"vllm_mode": "colocate", "vllm_tensor_parallel_size": 2}, "vllm_tensor_parallel_size: 2 shares one"),
    ):
        settings = RlSettings.made(rollouts={"mode": "carry"}, trl=trl | more)
        assert any(message in fault for fault in settings.faults(world_size=2))
        assert not any(message in fault for fault in settings.faults(world_size=1))
    few = RlSettings.made(rollouts={"mode": "carry", "in_flight": 12}, trl=trl)
    assert any("6 responses on each of 2 processes are less" in fault for fault in few.faults(world_size=2))


if __name__ == "__main__":
    rank_main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]))
