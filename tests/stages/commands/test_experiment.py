"""An experiment: shared stages are worked once a seed, what is done is not done again, and one page compares the arms.

The stages are real `StageKind`s with small runners, as in test_pipeline.py; `test_an_experiment_for_real` trains.
"""

import json
from pathlib import Path

import pytest
from command_line import ringlite

from ringlite_cli.console import Console
from ringlite_cli.errors import Interrupted, RecipeErrors, UserError, WorkFailed
from ringlite_cli.runs.files import read_json, write_json
from ringlite_cli.stages.base import Context, StageKind, StageResult
from ringlite_cli.stages.commands.experiment import compare_finished, run_experiment
from ringlite_cli.stages.kinds import KINDS

RECIPE = """\
name: small
model: {path: some/model}
stages:
  curate:
    kind: curate
    sources: [{generator: arithmetic, rows: 10}]
    sets: {traces: {}, math: {}}
  sft: {kind: sft, data: curate.traces}
  rl-math: {kind: rl, policy: sft, data: curate.math, token_budget: 100, prompts_per_step: 2, row_tokens: 64, trl: {max_steps: 4, max_completion_length: 32, num_generations: 2}}
  rl-mixed: {kind: rl, policy: rl-math, data: curate.math, token_budget: 100, prompts_per_step: 2, row_tokens: 64, trl: {max_steps: 4, max_completion_length: 32, num_generations: 2}}
  eval: {kind: eval, policies: [rl-math], tasks: [curate.math]}
"""  # noqa: E501
EXPERIMENT = """\
name: losses
question: Which loss?
recipe: small.yaml
seeds: [3, 4, 5]
arms:
  grpo: {stages.rl-math.algorithm: grpo}
  c3po: {}
"""


class Work:
    """Counts what the runners do; `fail` maps (stage, algorithm, seed) to what its runner raises."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str, int]] = []
        self.fail: dict[tuple[str, str, int], Exception] = {}

    def stages(self) -> list[str]:
        return [stage for stage, _, _ in self.done]


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Work:
    """Runners in place of training: a response is right as often as the arm and the seed decide."""
    counted = Work()
    (tmp_path / "small.yaml").write_text(RECIPE)
    (tmp_path / "losses.yaml").write_text(EXPERIMENT)

    def runner(context: Context) -> StageResult:
        algorithm, seed = context.recipe.stages["rl-math"].algorithm, context.recipe.seed
        key = (context.name, algorithm, seed)
        if key in counted.fail:
            raise counted.fail[key]
        counted.done.append(key)
        kind, folder = context.section.kind, context.folder
        section = context.section.model_dump_json() if kind == "rl" else kind
        (folder / "out.txt").write_text(f"{section} {seed}")
        if kind == "rl":
            rows = [_rl_row(step, 0.1 * step) for step in range(1, 5)]
            (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        if kind == "eval":
            _write_scores(folder, right=seed + (4 if algorithm == "c3po" else 0))
        names = {"curate": ["traces", "math"], "sft": ["base", "policy"]}.get(kind, ["policy"])
        return StageResult(outputs=dict.fromkeys(names, folder / "out.txt"), summary="worked")

    for kind in KINDS:
        old = KINDS[kind]
        new = StageKind(old.kind, old.summary, old.section, old.artifacts, ("errors.py",), old.uses, runner)
        monkeypatch.setitem(KINDS, kind, new)
    return counted


def _rl_row(step: int, reward: float) -> dict[str, float]:
    same = dict.fromkeys(
        ("entropy", "grad_norm", "response_tokens_mean", "budget", "update_seconds", "step_seconds"), 2
    )
    return {"step": step, "reward": reward, "tokens_generated": 9, "tokens_trained": 8, **same}


def _write_scores(folder: Path, right: int) -> None:
    rewards = [1.0 if number < right else 0.0 for number in range(20)]
    rows = [{"policy": "rl-math", "task": "math", "id": f"p{n}", "reward": r} for n, r in enumerate(rewards)]
    (folder / "responses.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_json(folder / "scores.json", {"rl-math": {"math": {"avg@k": right / 20, "ci95": [0, 1], "n": 20, "k": 1}}})


def go(tmp_path: Path, *changes: str, seeds: tuple[int, ...] = ()) -> Path:
    return run_experiment(
        str(tmp_path / "losses.yaml"), tmp_path / "runs", Console(), changes=changes, seeds=list(seeds)
    )


@pytest.mark.slow
def test_what_arms_have_in_common_is_worked_once_a_seed(work: Work, tmp_path: Path) -> None:
    go(tmp_path)
    assert [work.stages().count(stage) for stage in ("curate", "sft", "rl-math", "eval")] == [3, 3, 6, 6]
    assert "rl-mixed" not in work.stages()  # eval asks for nothing of it
    taken = tmp_path / "runs" / "losses" / "c3po" / "seed-3"
    assert read_json(taken / "sft" / "manifest.json")["status"] == "done"
    assert (taken / "sft" / "out.txt").read_text() == "sft 3"


@pytest.mark.slow
def test_a_second_run_does_nothing_and_a_further_seed_only_itself(work: Work, tmp_path: Path) -> None:
    go(tmp_path)
    work.done.clear()
    go(tmp_path)
    assert work.done == []
    go(tmp_path, seeds=(3, 6))
    assert {seed for _, _, seed in work.done} == {6}


@pytest.mark.slow
def test_the_comparison_pairs_the_seeds(work: Work, tmp_path: Path) -> None:
    page = go(tmp_path)
    found = read_json(page.with_name("comparison.json"))
    (row,) = found["differences"]
    assert (row["arm"], row["against"], row["verdict"]) == ("c3po", "grpo", "better")
    assert row["by_seed"] == {"3": 0.2, "4": 0.2, "5": 0.2}  # 4 of 20 problems on every seed, however good the seed
    means = {r["arm"]: round(r["mean"], 6) for r in found["scores"]}
    assert means == {"grpo": 0.2, "c3po": 0.4}
    assert "| rl-math | math | c3po | +20.0 |" in page.with_name("comparison.md").read_text()
    html = page.read_text()
    assert "Which loss?" in html
    assert "c3po against grpo on math: +20.0 points" in html


@pytest.mark.slow
def test_an_arm_that_fails_loses_the_others_nothing(work: Work, tmp_path: Path) -> None:
    work.fail["rl-math", "grpo", 4] = WorkFailed("the loss is nan")
    with pytest.raises(WorkFailed, match=r"comparison\.html: 1 of 6 runs failed"):
        go(tmp_path)
    found = read_json(tmp_path / "runs" / "losses" / "comparison.json")
    assert found["left_out"] == [{"arm": "grpo", "seed": 4, "why": "failed: the loss is nan"}]
    assert list(found["differences"][0]["by_seed"]) == ["3", "5"]
    work.fail.clear()
    work.done.clear()
    go(tmp_path)
    assert work.done == [("rl-math", "grpo", 4), ("eval", "grpo", 4)]


@pytest.mark.slow
def test_a_stop_is_a_stop_and_the_same_command_goes_on(work: Work, tmp_path: Path) -> None:
    work.fail["eval", "grpo", 3] = Interrupted("stopped")
    with pytest.raises(Interrupted):
        go(tmp_path)
    assert work.stages() == ["curate", "sft", "rl-math"]
    work.fail.clear()
    go(tmp_path)
    assert work.stages().count("curate") == 3


@pytest.mark.slow
def test_a_changed_key_reruns_what_it_changes_in_every_arm(work: Work, tmp_path: Path) -> None:
    go(tmp_path)
    work.done.clear()
    go(tmp_path, "stages.rl-math.trl.max_steps=8")
    assert set(work.stages()) == {"rl-math", "eval"}


@pytest.mark.slow
def test_one_seed_is_told_not_to_show_anything(work: Work, tmp_path: Path) -> None:
    page = go(tmp_path, seeds=(3,))
    (row,) = read_json(page.with_name("comparison.json"))["differences"]
    assert (row["sd"], row["ci95"], row["verdict"]) == (None, None, "one seed shows nothing")


def compare_only(tmp_path: Path, *changes: str, seeds: tuple[int, ...] = ()) -> Path:
    return compare_finished(
        str(tmp_path / "losses.yaml"), tmp_path / "runs", Console(), changes=changes, seeds=list(seeds)
    )


@pytest.mark.slow
def test_seeds_run_apart_are_compared_together_without_their_weights(work: Work, tmp_path: Path) -> None:
    """As after three processes on another machine, of which only the small files came back."""
    for seed in (3, 5, 6):
        go(tmp_path, seeds=(seed,))
    work.done.clear()
    for file in (tmp_path / "runs").rglob("out.txt"):
        file.unlink()
    found = read_json(compare_only(tmp_path).with_name("comparison.json"))
    assert (found["seeds"], found["left_out"]) == ([3, 5, 6], [])
    assert list(found["differences"][0]["by_seed"]) == ["3", "5", "6"]
    assert read_json(compare_only(tmp_path, seeds=(5,)).with_name("comparison.json"))["seeds"] == [5]
    file, runs = str(tmp_path / "losses.yaml"), str(tmp_path / "runs")
    done = ringlite("experiment", file, "--runs-dir", runs, "--compare-only", "--json")
    told = json.loads(done.stdout)
    assert (told["command"], told["comparison"]) == ("experiment", found)
    assert Path(told["page"]).is_file()
    assert Path(told["tables"]).is_file()
    assert work.done == []


@pytest.mark.slow
def test_what_is_not_finished_or_of_another_recipe_is_left_out_and_said(work: Work, tmp_path: Path) -> None:
    work.fail["eval", "c3po", 4] = WorkFailed("the disk is full")
    with pytest.raises(WorkFailed):
        go(tmp_path, seeds=(3, 4))
    go(tmp_path, "stages.rl-math.trl.max_steps=8", seeds=(5,))
    found = read_json(compare_only(tmp_path).with_name("comparison.json"))
    other = "made with another stages.rl-math.trl; give the --set that it was run with"
    assert [(row["arm"], row["seed"], row["why"]) for row in found["left_out"]] == [
        ("c3po", 4, "eval is failed"),
        ("grpo", 5, other),
        ("c3po", 5, other),
    ]
    assert list(found["differences"][0]["by_seed"]) == ["3"]
    page = compare_only(tmp_path, "stages.rl-math.trl.max_steps=8")
    assert list(read_json(page.with_name("comparison.json"))["differences"][0]["by_seed"]) == ["5"]
    assert "Not compared: grpo, seed 3: made with another" in page.read_text()


def test_nothing_to_compare_is_told(work: Work, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished run of this experiment to compare"):
        compare_only(tmp_path)


@pytest.mark.slow
def test_arms_that_come_out_the_same_on_a_seed_count_as_no_difference_there(work: Work, tmp_path: Path) -> None:
    """Two rules may pick one checkpoint on a seed: leaving that seed out would show only where they differ."""
    go(tmp_path, seeds=(3, 4))
    runs = tmp_path / "runs" / "losses"
    same, other = (runs / arm / "seed-3" / "eval" for arm in ("grpo", "c3po"))
    for name in ("manifest.json", "scores.json", "responses.jsonl"):
        (other / name).write_bytes((same / name).read_bytes())
    (row,) = read_json(compare_only(tmp_path).with_name("comparison.json"))["differences"]
    assert row["by_seed"] == {"3": 0.0, "4": 0.2}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds: [3, 4, 5]", "seeds: [3, 3]", "seeds: a seed stands twice"),
        ("c3po: {}", "c3po: {seed: 4}", "arms.c3po changes 'seed', which the experiment decides"),
        ("  c3po: {}\n", "", "arms: at least 2 are needed, not 1"),
        ("question:", "qestion:", "'qestion' is not a key here; did you mean 'question'?"),
        ("algorithm: grpo", "algoritm: grpo", "arm grpo: .*'algoritm' is not a key here; did you mean 'algorithm'?"),
        ("recipe: small.yaml", "recipe: smal", "no such recipe file"),
    ],
)
def test_a_wrong_file_is_told_before_any_work(work: Work, tmp_path: Path, old: str, new: str, message: str) -> None:
    (tmp_path / "losses.yaml").write_text(EXPERIMENT.replace(old, new))
    with pytest.raises((RecipeErrors, UserError), match=message):
        go(tmp_path)
    assert work.done == []
    assert not (tmp_path / "runs").exists()


def test_an_experiment_needs_an_eval_stage(work: Work, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(RECIPE.replace(RECIPE.splitlines(keepends=True)[-1], ""))
    with pytest.raises(RecipeErrors, match="the recipe has no eval stage"):
        go(tmp_path)


@pytest.mark.slow
def test_an_experiment_for_real(tmp_path: Path) -> None:
    """Two arms of the toy recipe: SFT once, RL twice, and the page."""
    (tmp_path / "tiny.yaml").write_text(
        "name: tiny\nrecipe: toy\nseeds: [17]\n"
        "set: {stages.eval.policies: [rl-math], stages.rl-math.trl.max_steps: 2, stages.sft.trl.num_train_epochs: 1,\n"
        "      stages.eval.num_generations: 1, stages.eval.max_completion_length: 8}\n"
        "arms: {grpo: {stages.rl-math.algorithm: grpo}, c3po: {}}\n"
    )
    page = run_experiment(str(tmp_path / "tiny.yaml"), tmp_path, Console())
    found = read_json(page.with_name("comparison.json"))
    assert {row["task"] for row in found["differences"]} == {"math", "code", "science", "mean of tasks"}
    assert [len(found["curves"][arm]["reward"]) for arm in ("grpo", "c3po")] == [2, 2]
    first, second = (tmp_path / "tiny" / arm / "seed-17" / "sft" / "manifest.json" for arm in ("grpo", "c3po"))
    assert first.read_text() == second.read_text()  # taken over, not trained twice
    assert "<svg" in page.read_text()
