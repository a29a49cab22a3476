"""`ringlite rescore`: stored responses verified again, the new beside the old, and `compare` that tells them apart."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from ringlite_cli.cli import app
from ringlite_cli.console import Console
from ringlite_cli.errors import UserError
from ringlite_cli.evals.compare import compare
from ringlite_cli.evals.compare_text import as_text
from ringlite_cli.evals.evaluate import score
from ringlite_cli.problems import VERDICT_REVISION, Problem, write_problems
from ringlite_cli.runs.files import read_json, read_jsonl, write_json, write_jsonl
from ringlite_cli.runs.manifest import Manifest
from ringlite_cli.stages.commands.rescore import rescore_run

PROBLEMS = [Problem(f"p{i}", "math", f"What is {i} + 1?", str(i + 1), source="s", index=i) for i in range(3)]
NEW = f"rescored/revision-{VERDICT_REVISION}"
REWARDS = {"workers": 1}
QUIET = Console()


def manifest(run: Path, stage: str, kind: str, recipe: dict, outputs: dict | None = None, metrics: dict | None = None):
    (run / stage).mkdir(parents=True, exist_ok=True)
    Manifest(
        stage, kind, "done", "f", 1, recipe | {"rewards": REWARDS}, [], outputs=outputs or {}, metrics=metrics or {}
    ).write(run / stage)


def row(problem: Problem, response: str, reward: float, **more):
    verdict = "correct" if reward else "wrong"
    return {"id": problem.id, "domain": "math", "prompt": problem.prompt, "response": response, "verdict": verdict,
            "reward": reward, "tokens": 5, "truncated": False} | more  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of four stages whose verdicts are of the first revision: thoughts were paid."""
    folder = tmp_path / "run"
    (folder / "curate").mkdir(parents=True)
    write_problems(folder / "curate" / "math.parquet", PROBLEMS)
    outputs = {"math": {"path": "curate/math.parquet", "digest": "sha256:0", "rows": 3}}
    manifest(folder, "curate", "curate", {}, outputs)
    inside, after = "<think>\\boxed{1}", "<think>so</think>\\boxed{2}"
    asked = [
        {"key": "a", "model": "m", "source": "s", "index": 0, "sample": 0, "response": inside, "verdict": "correct",
         "reward": 1.0, "truncated": False},
        {"key": "b", "model": "m", "source": "gone", "index": 7, "sample": 0, "response": after, "verdict": "wrong",
         "reward": 0.0, "truncated": False},
    ]  # fmt: skip
    write_jsonl(folder / "curate" / "asked.jsonl", asked)
    manifest(folder, "eval", "eval", {"tasks": ["curate.math"], "revisions": {}, "limit": None})
    responses = [
        row(PROBLEMS[0], inside, 1.0, policy="rl", task="math", sample=0),
        row(PROBLEMS[1], after, 1.0, policy="rl", task="math", sample=0),
        row(PROBLEMS[2], "\\boxed{3}", 0.0, policy="rl", task="math", sample=0),
    ]
    write_jsonl(folder / "eval" / "responses.jsonl", responses)
    write_json(folder / "eval" / "scores.json", {"rl": {"math": {"avg@k": 2 / 3, "data": {"digest": "x"}}}})
    manifest(folder, "select", "select", {"data": "curate.math"})
    write_json(folder / "select" / "decision.json", {})
    write_jsonl(
        folder / "select" / "responses.jsonl", [row(PROBLEMS[0], inside, 1.0, policy="c1", task="select", sample=0)]
    )
    manifest(folder, "rl-math", "rl", {"data": "curate.math"})
    rollouts = [
        row(PROBLEMS[0], "\\boxed{1}", 1.0, prompt_id="p0", step=1, thought_opened="<think>"),
        row(PROBLEMS[1], "\\boxed{2}", None, prompt_id="p1", step=1),
        row(PROBLEMS[2], "\\boxed{3}", 1.0, prompt_id="p2", step=2) | {"prompt": "another prompt"},
    ]
    write_jsonl(folder / "rl-math" / "rollouts.jsonl", rollouts)
    return folder


def files(folder: Path) -> dict[Path, bytes]:
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (".lock", "run.log")
    }


def test_every_kind_of_stored_response_is_verified_again_and_nothing_old_is_touched(run):
    before = files(run)
    done = CliRunner().invoke(app, ["rescore", str(run)])
    assert done.exit_code == 0, done.output
    after = files(run)
    assert {path: after[path] for path in before} == before
    assert all(NEW in str(path) for path in after.keys() - before.keys())

    rows = read_jsonl(run / "eval" / NEW / "responses.jsonl")
    assert [r["reward"] for r in rows] == [0.0, 1.0, 1.0]
    assert rows[0]["was"] == {"verdict": "correct", "reward": 1.0, "revision": 1}
    assert {r["revision"] for r in rows} == {VERDICT_REVISION}
    score = read_json(run / "eval" / NEW / "scores.json")["rl"]["math"]
    assert score["avg@k"] == pytest.approx(2 / 3)
    assert score["verdict_revision"] == VERDICT_REVISION
    assert score["data"] == {"digest": "x"}

    assert read_json(run / "select" / NEW / "scores.json")["c1"]["select"]["avg@k"] == 0.0

    rollouts = read_jsonl(run / "rl-math" / NEW / "rollouts.jsonl")
    assert [r["reward"] for r in rollouts] == [0.0, 1.0, 1.0]
    assert "was" not in rollouts[2]  # its prompt is not that of the set any more
    assert read_json(run / "rl-math" / NEW / "rewards.json")["math"]["responses"] == 3

    assert read_jsonl(run / "curate" / NEW / "pass_rates.jsonl") == [
        {"model": "m", "source": "s", "index": 0, "before": 1.0, "now": 0.0, "responses": 1},
        {"model": "m", "source": "gone", "index": 7, "before": 0.0, "now": 0.0, "responses": 1},
    ]
    assert "1 right before and wrong now, 1 wrong before and right now" in done.output
    assert "1 of problems that are not there any more" in done.output
    assert "1 of problems that are not there any more" in (run / "run.log").read_text()


def test_rescoring_twice_is_the_same_as_once(run):
    rescore_run(run, QUIET)
    once = files(run)
    rescore_run(run, QUIET)
    assert files(run) == once


def test_what_was_never_answered_stays_so_and_pass_rates_are_those_of_difficulty(run):
    refused = row(PROBLEMS[2], "", 0.0, policy="rl", task="math", sample=0) | {"verdict": "prompt too long"}
    rows = read_jsonl(run / "eval" / "responses.jsonl")[:2]
    write_jsonl(run / "eval" / "responses.jsonl", [*rows, refused])
    one = read_jsonl(run / "curate" / "asked.jsonl")[0] | {"response": "\\boxed{1}", "purpose": "difficulty"}
    wrong = {"response": "\\boxed{5}", "verdict": "wrong", "reward": 0.0}
    distilled = one | wrong | {"key": "c", "purpose": "distill round 1"}
    asked = [one | wrong, one, one | {"sample": 1} | wrong, distilled]
    write_jsonl(run / "curate" / "asked.jsonl", asked)
    done = CliRunner().invoke(app, ["rescore", str(run)])
    assert "eval: 2 responses: " in done.output
    assert "; 1 more were never given, kept as they were" in done.output
    assert read_jsonl(run / "eval" / NEW / "responses.jsonl")[2] == refused
    assert "1 (p2)" in read_json(run / "eval" / NEW / "scores.json")["rl"]["math"]["notes"][0]
    assert read_jsonl(run / "curate" / NEW / "pass_rates.jsonl") == [
        {"model": "m", "source": "s", "index": 0, "before": 0.5, "now": 0.5, "responses": 2}
    ]


def test_an_interval_stays_where_no_verdict_changed(run):
    many = [Problem(f"p{i}", "math", f"What is {i} + 1?", str(i + 1), source="s", index=i) for i in range(8)]
    write_problems(run / "curate" / "math.parquet", many)
    right = [[k < p.index % 4 for k in range(3)] for p in many]
    groups = [
        [row(p, f"\\boxed{{{p.index + 1 if is_right else 99}}}", float(is_right), policy="rl", task="math", sample=k)
         for k, is_right in enumerate(of_problem)]
        for p, of_problem in zip(many, right, strict=True)
    ]  # fmt: skip
    plain = score(groups, seed=0)["ci95"]
    seed = next(n for n in range(1, 50) if score(groups, seed=n)["ci95"] != plain)
    write_jsonl(run / "eval" / "responses.jsonl", [each for group in groups[::-1] for each in group])
    write_json(run / "eval" / "resume.json", {"rl/math": {"seed": seed}})
    assert "eval: 24 responses: no reward changed" in CliRunner().invoke(app, ["rescore", str(run)]).output
    told = read_json(run / "eval" / NEW / "scores.json")["rl"]["math"]
    assert told["ci95"] == score(groups, seed=seed)["ci95"]


def test_compare_takes_one_revision_of_both_and_marks_two(run, tmp_path):
    other = tmp_path / "other"
    manifest(other, "eval", "eval", {"tasks": ["curate.math"]})
    rows = read_jsonl(run / "eval" / "responses.jsonl")
    write_jsonl(other / "eval" / "responses.jsonl", [r | {"revision": VERDICT_REVISION} for r in rows])
    marked = compare(run, other)
    told = f"different revisions of the verdicts, 1 in run and {VERDICT_REVISION} in other"
    assert told in " ".join(marked["notes"])
    assert f"(verdicts of revision 1 / {VERDICT_REVISION})" in as_text(marked)
    rescore_run(run, QUIET)
    same = compare(run, other)
    assert not any("revision" in note for note in same["notes"])
    (score,) = same["scores"]
    assert (score["revisions_a"], score["revisions_b"]) == ([VERDICT_REVISION], [VERDICT_REVISION])
    assert (score["wins"], score["losses"]) == (["p0"], ["p2"])
    assert "(verdicts of" not in as_text(same)


def test_old_runs_are_compared_with_each_other_as_before(run):
    (score,) = compare(run, run)["scores"]
    assert (score["revisions_a"], score["verdict"]) == ([1], "no difference shown")


def test_the_folder_of_an_evaluation_without_a_recipe(tmp_path):
    data = tmp_path / "mine.jsonl"
    write_jsonl(data, [{"id": "q", "domain": "math", "prompt": "1 + 1?", "answer": "2"}])
    out = tmp_path / "out"
    out.mkdir()
    write_jsonl(out / "responses.jsonl", [row(Problem("q", "math", "1 + 1?"), "</think>\\boxed{2}", 0.0,
                                              policy="model", task="mine", sample=0)])  # fmt: skip
    write_json(out / "scores.json", {"mine": {"avg@k": 0.0}})
    write_json(out / "resume.json", {"golds": {"model/mine": {"q": "of another answer"}}})
    done = CliRunner().invoke(app, ["rescore", str(out), "--data", f"mine={data}"])
    assert done.exit_code == 0, done.output
    assert read_json(out / NEW / "scores.json")["mine"]["avg@k"] == 1.0
    assert "1 problems have another gold answer" in read_json(out / NEW / "scores.json")["mine"]["notes"][-1]
    assert read_json(out / "scores.json")["mine"]["avg@k"] == 0.0


def test_nothing_to_rescore_is_told_before_anything_is_written(tmp_path):
    with pytest.raises(UserError, match="no such run"):
        rescore_run(tmp_path / "none", QUIET)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no stored responses"):
        rescore_run(tmp_path / "empty", QUIET)
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_set_that_is_gone_is_told_with_its_name(run):
    (run / "curate" / "manifest.json").unlink()
    before = files(run)
    with pytest.raises(UserError, match=r"curate\.math"):
        rescore_run(run, QUIET)
    assert files(run) == before


@pytest.mark.parametrize(
    ("file", "key", "value", "message"),
    [
        ("eval/responses.jsonl", "task", None, "a response without 'task'"),
        ("eval/responses.jsonl", "reward", "1.0", "a response whose reward is no number"),
        ("select/responses.jsonl", "tokens", None, "a response without 'tokens'"),
        ("rl-math/rollouts.jsonl", "response", None, "a response without 'response'"),
        ("curate/asked.jsonl", "model", None, "a response without 'model'"),
    ],
)
def test_a_row_that_says_too_little_is_named(run: Path, file: str, key: str, value: object, message: str) -> None:
    rows = read_jsonl(run / file)
    write_jsonl(run / file, [rows[0] | {key: value}, *rows[1:]])
    with pytest.raises(UserError, match=f"{file}: {message}"):
        rescore_run(run, QUIET)


def test_a_reward_that_is_no_number_is_none(run: Path) -> None:
    file = run / "eval" / "responses.jsonl"
    file.write_text(file.read_text().replace('"reward": 1.0', '"reward": NaN', 1))
    rescore_run(run, QUIET)
    assert read_jsonl(run / "eval" / NEW / "responses.jsonl")[0]["was"]["reward"] is None
