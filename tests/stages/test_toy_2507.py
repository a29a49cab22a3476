"""Ring-lite-2507 at toy size through the real command line: games, a reward model, general RL, a last SFT."""

from pathlib import Path

import pytest
from command_line import ringlite

from ringlite_cli.problems import read_problems
from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.runs.files import read_json, read_jsonl
from ringlite_cli.runs.rollouts import read_rollouts
from ringlite_cli.stages.commands.policies.find import find_policy

pytestmark = pytest.mark.slow  # trains and samples for most of a minute


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("reasoning_gym")
    runs = tmp_path_factory.mktemp("runs")
    done = ringlite("run", "toy-2507", "--runs-dir", str(runs))
    assert done.returncode == 0, done.stdout + done.stderr
    return runs / "toy-2507"


def test_every_stage_is_done_and_nothing_is_run_twice(run: Path) -> None:
    stages = load_recipe("toy-2507").stages
    assert {name: read_json(run / name / "manifest.json")["status"] for name in stages} == dict.fromkeys(stages, "done")
    again = ringlite("run", "toy-2507", "--runs-dir", str(run.parent))
    assert again.returncode == 0
    assert again.stdout.count("unchanged, skipped") == len(stages)


def test_general_rl_is_rewarded_by_the_instructions_and_by_the_runs_own_reward_model(run: Path) -> None:
    rows = list(read_rollouts(run / "rl-general"))
    assert {row["domain"] for row in rows} == {"general"}
    assert all(set(row["reward_parts"]) >= {"instructions", "reward-model"} for row in rows)
    assert len({row["reward_parts"]["reward-model"] for row in rows}) > 4  # it tells responses apart
    assert (run / read_json(run / "preference" / "manifest.json")["outputs"]["reward_model"]["path"]).is_dir()


def test_general_rl_is_watched_by_a_score_that_it_does_not_train_on(run: Path) -> None:
    measured = [row["held_out_by_domain"] for row in read_jsonl(run / "rl-general" / "metrics.jsonl")]
    assert len(measured) == 2
    assert {"math", "logic", "general"} <= set(measured[-1])


def test_the_last_sft_learns_from_the_policy_of_rl_and_is_the_runs_result(run: Path) -> None:
    asked = read_jsonl(run / "collect" / "asked.jsonl")
    digest = read_json(run / "rl-general" / "manifest.json")["outputs"]["policy"]["digest"].rpartition(":")[2]
    assert {row["model"] for row in asked} == {f"rl-general@{digest[:12]}"}
    last = {problem.id for problem in read_problems(run / "collect" / "last.parquet")}
    assert last
    assert read_json(run / "general-sft" / "manifest.json")["parent"] == ["rl-general", "collect"]
    assert find_policy(str(run)).name == "general-sft"
    scores = read_json(run / "eval" / "manifest.json")["metrics"]
    assert list(scores) == ["select", "rl-mixed", "rl-general", "general-sft"]
    assert all(set(tasks) == {"math", "code", "logic", "general"} for tasks in scores.values())


def test_the_report_has_every_stage(run: Path) -> None:
    page = (run / "report.html").read_text()
    assert all(name in page for name in load_recipe("toy-2507").stages)
