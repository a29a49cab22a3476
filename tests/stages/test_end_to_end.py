"""The toy recipe through the real command line: all six stages, then skipped, then changed, stopped and resumed."""

import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest
import warm
from command_line import ringlite
from golden_toy import GOLDEN, changed_kinds, results
from terminals import Done, environment, piped

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


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """The run folder, and what the command showed and when."""
    runs = tmp_path_factory.mktemp("runs")
    tracked = [f"stages.{stage}.trl.report_to=tensorboard" for stage in ("sft", "rl-math")]  # changes no result
    command = [sys.executable, "-m", "ringlite_cli", "run", "toy", "--runs-dir", str(runs)]
    done = piped([*command, "--set", tracked[0], "--set", tracked[1]], runs, environment(), timeout=500)
    assert done.code == 0, done.all
    return runs / "toy", done


@pytest.fixture(scope="module")
def run(told: tuple[Path, Done]) -> Path:
    return told[0]


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


def test_it_shows_its_own_lines_alone_and_each_stage_at_once(told: tuple[Path, Done]) -> None:
    """torch, transformers, TRL and what they start have much to say, all of which is in the log."""
    run, done = told
    for line in done.out.splitlines():
        assert re.fullmatch(r"(\d\d:\d\d:\d\d (\[\d/6\] |  )|report: ).*", line), line
    ours = r"ringlite |toy: |looking at .*still|[\d:]{8} (log: |warning: |[a-z-]+(: epoch)? [\d.]+/\d|[a-z-]+: still)"
    assert [line for line in done.err.splitlines() if not re.match(ours, line)] == []
    at_once = 3.0  # seconds on a busy machine; 0.1 on an idle one
    assert done.seen[0][0] < at_once
    heads = [when for when, _, line in done.seen if re.search(r" \[\d/6\] ", line)]
    ends = [when for when, _, line in done.seen if " s) -> " in line]
    assert len(heads) == len(ends) == 6
    assert all(0 <= head - end < at_once for end, head in zip(ends, heads[1:], strict=False))
    kept = (run / "run.log").read_text()
    for _, _, line in done.seen[1:]:
        assert re.sub(r"^\d\d:\d\d:\d\d ", "", line.rstrip("\n")) in kept
    assert re.search(r"\d s left of the run", kept)


def test_answers_in_json_tell_what_the_run_has(run: Path) -> None:
    def answer(*words: str) -> dict:
        done = ringlite(*words, "--json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found.pop("format") == 1
        assert found.pop("command") == words[0]
        return found

    status = answer("status", str(run))
    assert status.keys() == {"run", "at_work", "left", "stages"}
    assert [row["name"] for row in status["stages"]] == STAGES
    assert {row["status"] for row in status["stages"]} == {"done"}
    assert status["stages"][0]["note"].endswith("rows kept")
    plan = answer("plan", "toy", "--runs-dir", str(run.parent), "--price", "2")
    assert [row["name"] for row in plan["stages"]] == STAGES
    for row in plan["stages"]:
        assert row["seconds"] == manifest(run, row["name"])["seconds"]
        assert row["money"] == pytest.approx(row["seconds"] / 1800)
    assert plan["total"]["stages_without_time"] == []
    assert plan["model"]["active"] < plan["model"]["parameters"]
    compared = answer("compare", f"{run}:base", f"{run}:rl-mixed")["comparisons"]
    assert {row["task"] for row in compared[0]["scores"]} == {"math", "code", "science"}
    assert [row["name"] for row in answer("check", "toy")["stages"]] == STAGES
    listed = {row["name"]: row["kind"] for row in answer("recipes")["recipes"]}
    assert (listed["toy"], listed["c3po-vs-grpo"]) == ("recipe", "experiment")


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


def test_tensorboard_gets_what_metrics_jsonl_has(run: Path) -> None:
    """The event files are read back by TensorBoard itself."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert "TENSORBOARD_LOGGING_DIR" not in os.environ
    for stage, pairs in {
        "sft": {"loss": "train/loss", "lr": "train/learning_rate"},
        "rl-math": {"reward": "train/reward", "entropy": "train/entropy", "budget": "train/c3po/budget"},
    }.items():
        events = accumulator.EventAccumulator(str(run / stage / "tensorboard"))
        events.Reload()
        rows = read_jsonl(run / stage / "metrics.jsonl")
        for ours, theirs in pairs.items():
            scalars = {event.step: event.value for event in events.Scalars(theirs)}
            assert scalars == pytest.approx({row["step"]: row[ours] for row in rows}, rel=1e-5), (stage, ours)


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
    with tempfile.TemporaryFile() as said:
        process = warm.Popen([sys.executable, "-m", "ringlite_cli", *arguments], stderr=said)
        try:
            _wait(ready, process)
            process.send_signal(number)
            process.wait(60)
        finally:
            process.kill()
        errors = warm.text_of(said)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors


def _wait(ready, process: warm.Popen, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "nothing happened"
        assert process.poll() is None, "ended early"
        time.sleep(0.1)
