"""The toy recipe through the real command line: all six stages, then skipped, then changed, stopped and resumed."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from golden_toy import GOLDEN, changed_kinds, results

from ringlite_cli.problems import read_problems
from ringlite_cli.runs.files import read_json, read_jsonl

pytestmark = pytest.mark.slow  # trains and samples for about a minute

STAGES = ["curate", "sft", "select", "rl-math", "rl-mixed", "eval"]
RL_FIELDS = {
    "step", "loss", "reward", "reward_by_domain", "grad_norm", "entropy", "kl", "clip_fraction", "lr", "budget",
    "tokens_generated", "tokens_trained", "tokens_dropped", "response_tokens_mean", "response_tokens_max",
    "truncated_fraction", "informative_fraction", "row_fill", "rollout_seconds", "reward_seconds", "update_seconds",
    "step_seconds",
}  # fmt: skip


def ringlite(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ringlite_cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    done = ringlite("run", "toy", "--runs-dir", str(runs))
    assert done.returncode == 0, done.stdout + done.stderr
    return runs / "toy"


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A run folder of its own, to change."""
    return Path(shutil.copytree(run, tmp_path / "runs" / "toy"))


def manifest(run: Path, stage: str) -> dict:
    return read_json(run / stage / "manifest.json")


def test_every_stage_is_done_with_all_its_outputs_on_disk(run: Path) -> None:
    for stage in STAGES:
        found = manifest(run, stage)
        assert found["status"] == "done", found["message"]
        assert found["seconds"] > 0
        for entry in found["outputs"].values():
            assert (run / entry["path"]).exists(), entry


def test_results_changed_by_no_release_without_a_word(run: Path) -> None:
    """A release that changes results on purpose adds to `revisions` of the kind, and writes golden_toy.json anew."""
    assert changed_kinds(read_json(GOLDEN), results(run)) == {}


def test_the_funnel_adds_up_and_caught_every_planted_fault_kind(run: Path) -> None:
    funnel = read_json(run / "curate" / "funnel.json")
    assert funnel["rows_in"] == funnel["out"] + sum(funnel["dropped"].values())
    assert len(read_jsonl(run / "curate" / "dropped.jsonl")) == sum(funnel["dropped"].values())
    assert len(funnel["dropped"]) >= 5


def test_splits_do_not_overlap(run: Path) -> None:
    sets = ("traces", "math", "mixed", "select", "eval")
    prompts = {name: {p.prompt for p in read_problems(run / "curate" / f"{name}.parquet")} for name in sets}
    assert not prompts["eval"] & (prompts["traces"] | prompts["math"] | prompts["mixed"] | prompts["select"])
    assert not prompts["select"] & (prompts["traces"] | prompts["math"] | prompts["mixed"])
    assert not prompts["traces"] & prompts["math"]


def test_the_pick_is_one_of_the_checkpoints_and_rl_starts_from_it(run: Path) -> None:
    decision = read_json(run / "select" / "decision.json")
    names = {entry["name"] for entry in read_json(run / "sft" / "checkpoints.json")}
    assert decision["picked"] in names
    assert manifest(run, "rl-math")["inputs"]["select/policy"]["path"] == f"sft/checkpoints/{decision['picked']}"


@pytest.mark.parametrize("stage", ["rl-math", "rl-mixed"])
def test_rl_writes_a_row_per_step_and_every_rollout(run: Path, stage: str) -> None:
    rows = read_jsonl(run / stage / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert all(row.keys() >= RL_FIELDS for row in rows)
    rollouts = read_jsonl(run / stage / "rollouts.jsonl")
    assert len(rollouts) == 3 * 16
    for row in rows:
        step = [r for r in rollouts if r["step"] == row["step"]]
        assert sum(r["tokens_kept"] for r in step) == row["tokens_trained"] <= row["budget"]
        assert sum(r["tokens"] for r in step) == row["tokens_generated"]


def test_eval_has_a_score_with_an_interval_for_every_policy_and_domain(run: Path) -> None:
    scores = manifest(run, "eval")["metrics"]
    assert list(scores) == ["base", "select", "rl-math", "rl-mixed"]
    for domains in scores.values():
        assert set(domains) == {"math", "code", "science"}
        for score in domains.values():
            low, high = score["ci95"]
            assert 0 <= low <= score["avg@k"] <= high <= 1
    responses = read_jsonl(run / "eval" / "responses.jsonl")
    assert len(responses) == 4 * 2 * 24


def test_policies_are_plain_folders_that_load(run: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    for policy in ("sft/base", "rl-math/policy", "rl-mixed/policy"):
        model = AutoModelForCausalLM.from_pretrained(run / policy)
        assert model.num_parameters() > 0
        assert AutoTokenizer.from_pretrained(run / policy).chat_template


def test_the_report_is_one_file_that_names_every_stage(run: Path) -> None:
    html = (run / "report.html").read_text()
    assert all(stage in html for stage in STAGES)
    assert "scores mean nothing" in html
    assert 'src="http' not in html
    assert len(html) < 5_000_000


def test_a_second_run_skips_every_stage(run: Path) -> None:
    before = {stage: manifest(run, stage) for stage in STAGES}
    done = ringlite("run", "toy", "--runs-dir", str(run.parent))
    assert done.returncode == 0
    assert done.stdout.count("unchanged, skipped") == len(STAGES)
    assert {stage: manifest(run, stage) for stage in STAGES} == before


def test_a_changed_key_reruns_its_stage_and_what_follows(copy: Path) -> None:
    before = {stage: manifest(copy, stage)["finished"] for stage in STAGES}
    change = "stages.rl-mixed.trl.max_steps=1"
    done = ringlite("run", "toy", "--runs-dir", str(copy.parent), "--to", "rl-mixed", "--set", change)
    assert done.returncode == 0, done.stderr
    assert [s for s in STAGES if manifest(copy, s)["finished"] != before[s]] == ["rl-mixed"]
    assert len(read_jsonl(copy / "rl-mixed" / "metrics.jsonl")) == 1


def test_ctrl_c_in_rl_leaves_interrupted_and_the_same_command_goes_on(copy: Path) -> None:
    change = "stages.rl-math.trl.max_steps=40"
    arguments = ["run", "toy", "--runs-dir", str(copy.parent), "--to", "rl-math", "--set", change]
    metrics = copy / "rl-math" / "metrics.jsonl"
    metrics.unlink()
    _stop(arguments, lambda: len(read_jsonl(metrics)) >= 2, signal.SIGINT)
    assert manifest(copy, "rl-math")["status"] == "interrupted"
    stopped = len(read_jsonl(metrics))
    assert stopped < 40
    first = json.dumps(read_jsonl(metrics)[0])

    done = ringlite(*arguments)
    assert done.returncode == 0, done.stderr
    rows = read_jsonl(metrics)
    assert [row["step"] for row in rows] == list(range(1, 41))
    assert json.dumps(rows[0]) == first  # not done again


def test_a_signal_in_eval_loses_nothing_and_the_same_command_goes_on(run: Path, copy: Path) -> None:
    shutil.rmtree(copy / "eval")
    arguments = ["run", "toy", "--runs-dir", str(copy.parent), "--from", "eval"]
    responses = copy / "eval" / "responses.jsonl"
    _stop(arguments, lambda: read_jsonl(responses), signal.SIGUSR1)
    assert manifest(copy, "eval")["status"] == "interrupted"
    kept = read_jsonl(responses)
    assert 48 <= len(kept) < 4 * 48  # what was sampled is verified and kept, a policy's batch at least

    assert ringlite(*arguments).returncode == 0
    rows = read_jsonl(responses)
    assert rows[: len(kept)] == kept  # not sampled again
    assert len({(r["policy"], r["task"], r["id"], r["sample"]) for r in rows}) == len(rows) == 4 * 48
    assert read_json(copy / "eval" / "scores.json") == read_json(run / "eval" / "scores.json")


def _stop(arguments: list[str], ready, number: signal.Signals) -> None:
    """The command, sent a signal once it is ready: it ends by itself, as one that was stopped, without a traceback."""
    process = subprocess.Popen([sys.executable, "-m", "ringlite_cli", *arguments], stderr=subprocess.PIPE, text=True)
    try:
        _wait(ready, process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors


def _wait(ready, process: subprocess.Popen, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "nothing happened"
        assert process.poll() is None, "ended early"
        time.sleep(0.1)
