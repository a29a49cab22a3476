"""RL in mode carry, killed at random moments: it ends with the weights, rows and rollouts of an undisturbed run."""

import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import warm
from tiny_lm import save_policy

from ringlite_cli.runs.catalogue import timed
from ringlite_cli.runs.files import read_jsonl

TESTS = Path(__file__).parents[1]
TIMES = timed("rl")
CODE = """
import sys
from pathlib import Path
from carry_runs import words
from rl_runs import rl

def length(name):
    group, place = map(int, name.split("-"))
    return 12 if group % 3 == 0 and place == 0 else 2 + (group * 5 + place) % 5

rl(Path(sys.argv[1]), Path(sys.argv[2]), steps=int(sys.argv[3]), rollout_func=words(length), router_balance_coef=0.0,
   router_z_loss_coef=0.0, trl={"save_steps": 1}, undershoot="refill", sampling="difficulty",
   updates_per_rollout=2, rollouts={"mode": "carry", "in_flight": 12, "max_retention": 2})
"""


def launch(policy: Path, out: Path, steps: int) -> warm.Popen:
    program = out.with_name("program.py")
    program.write_text(CODE)
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
    command = [sys.executable, "-W", "ignore", str(program), str(policy), str(out), str(steps)]
    with out.with_suffix(".log").open("ab") as log:
        return warm.Popen(command, env=env, stdout=log, stderr=log)


def left_by(out: Path) -> dict[str, Any]:
    rows = [{k: v for k, v in row.items() if k not in TIMES} for row in read_jsonl(out / "metrics.jsonl")]
    weights = (out / "policy" / "model.safetensors").read_bytes()
    return {"metrics": rows, "rollouts": read_jsonl(out / "rollouts.jsonl"), "weights": weights}


def steps_done(out: Path) -> int:
    rows = out / "metrics.jsonl"
    return rows.read_bytes().count(b"\n") if rows.is_file() else 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kills", "steps"), [(2, 16), pytest.param(50, 160, marks=[pytest.mark.full, pytest.mark.timeout(3600)])]
)
def test_a_run_that_is_killed_with_responses_in_flight_loses_none(tmp_path: Path, kills: int, steps: int) -> None:
    """Each kill comes some steps after the last, at any moment of a step: in a rollout, an update or a save."""
    policy = save_policy(tmp_path / "policy", "llama", head_dim=32)
    assert launch(policy, tmp_path / "whole", steps).wait() == 0, (tmp_path / "whole.log").read_text()[-2000:]
    rng, out, hit = random.Random(7), tmp_path / "killed", 0
    while hit < kills:
        before = steps_done(out)
        process = launch(policy, out, steps)
        while process.poll() is None and steps_done(out) < before + steps // (kills + 1):
            time.sleep(0.02)
        time.sleep(rng.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        hit += 1
    assert launch(policy, out, steps).wait() == 0, out.with_suffix(".log").read_text()[-2000:]
    whole = left_by(tmp_path / "whole")
    assert any(row.get("tokens_carried_in") for row in whole["metrics"])
    assert left_by(out) == whole
