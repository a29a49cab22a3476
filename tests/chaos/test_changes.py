"""A real RL stage that is stopped goes on through changes: another version, operational keys, tunable keys; once each.

The full sweep tries every tunable key by itself.
"""

import json
import signal
import sys
import time
from pathlib import Path

import pytest
import warm

from ringlite_cli.runs.files import read_json, read_jsonl, write_json

STEPS = 40
COMMON = [f"stages.rl-math.trl.max_steps={STEPS}", "stages.rl-math.trl.save_steps=1", "stages.rl-math.guard=null"]
OPERATIONAL = [
    *("stages.rl-math.trl.save_total_limit=3", "stages.rl-math.trl.logging_first_step=true", "rewards.workers=1"),
    *("stages.rl-math.engine_timeout=60", "stages.rl-math.sync_tolerance=0.5", "engine.max_num_seqs=7", "note=other"),
]
TUNABLE = {
    "trl.learning_rate": 5e-6,
    "trl.beta": 0.01,
    "trl.temperature": 0.9,
    "trl.epsilon_high": 0.3,
    "trl.entropy_coef": 0.0,
    "trl.max_completion_length": 40,
    "token_budget": 400,
    "router_balance_coef": 1e-4,
    "drop_uninformative": True,
}


def command(runs: Path, changes: list[str], *flags: str) -> list[str]:
    settings = [part for change in [*COMMON, *changes] for part in ("--set", change)]
    return [
        sys.executable,
        "-m",
        "ringlite_cli",
        "run",
        "toy",
        "--runs-dir",
        str(runs),
        "--to",
        "rl-math",
        *flags,
        *settings,
    ]


def stopped(runs: Path, changes: list[str], *flags: str) -> int:
    """Run until two more checkpoints are sealed, stop politely, and return the step of the last one."""
    stage = runs / "toy" / "rl-math"
    begun = last(stage)
    runs.mkdir(exist_ok=True)
    with (runs / "said").open("w+b") as said:
        process = warm.Popen(command(runs, changes, *flags), stdout=said, stderr=said)
        end = time.monotonic() + 400
        while last(stage) < begun + 2 and process.poll() is None and time.monotonic() < end:
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 130, warm.text_of(said)
    return last(stage)


def last(stage: Path) -> int:
    found = [int(path.parent.name[11:]) for path in stage.glob("checkpoints/checkpoint-*/ringlite_seal.json")]
    return max(found, default=0)


def upgrade(runs: Path) -> None:
    """Make every manifest say that other code and other libraries wrote it."""
    for path in runs.glob("toy/*/manifest.json"):
        manifest = read_json(path)
        manifest["versions"] |= {"ringlite": "0.0.9", "code": "other"}
        manifest["versions"]["packages"]["trl"] = "1.0.0"
        write_json(path, manifest)


def changes(runs: Path) -> list[dict]:
    return list(read_json(runs / "toy" / "rl-math" / "manifest.json")["changes"])


def steps(runs: Path) -> list[int]:
    return [row["step"] for row in read_jsonl(runs / "toy" / "rl-math" / "metrics.jsonl")]


@pytest.mark.slow
def test_a_stopped_stage_loses_nothing_by_an_upgrade_and_by_changed_keys(tmp_path: Path) -> None:
    first = stopped(tmp_path, [])
    upgrade(tmp_path)
    second = stopped(tmp_path, OPERATIONAL)
    assert second > first >= 2
    (entry,) = changes(tmp_path)
    assert entry["step"] == first
    assert "keys" not in entry
    assert "trl 1.0.0" in entry["made_by"]

    tuned = [f"stages.rl-math.{key}={json.dumps(value)}" for key, value in TUNABLE.items()]
    third = stopped(tmp_path, [*OPERATIONAL, *tuned], "--go-on")
    assert third > second
    assert changes(tmp_path)[-1]["keys"].keys() == TUNABLE.keys()
    rows = read_jsonl(tmp_path / "toy" / "rl-math" / "metrics.jsonl")
    assert steps(tmp_path) == list(range(1, third + 1))
    assert [row["lr"] for row in rows] == [1e-5] * second + [5e-6] * (third - second)
    assert rows[second]["changed"].keys() == TUNABLE.keys()


@pytest.mark.full
@pytest.mark.slow
def test_each_tunable_key_goes_on_by_itself(tmp_path: Path) -> None:
    reached, given = stopped(tmp_path, []), []
    for key, value in TUNABLE.items():
        given.append(f"stages.rl-math.{key}={json.dumps(value)}")
        before, reached = reached, stopped(tmp_path, given, "--go-on")
        assert reached > before, key
        assert changes(tmp_path)[-1]["keys"].keys() == {key}
    assert steps(tmp_path) == list(range(1, reached + 1))
