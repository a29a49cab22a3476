"""Tasks of lm-evaluation-harness on a real tiny policy: asked and scored by it, kept and resumed by ringlite."""

import json
from pathlib import Path

import pytest
import yaml
from policies import write_tiny_policy

from ringlite_cli.errors import UserError, WorkFailed
from ringlite_cli.evals import harness
from ringlite_cli.evals.compare import compare
from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.recipe.engine import Engine
from ringlite_cli.recipe.evaluation import EvalSettings
from ringlite_cli.runs.files import read_json, read_jsonl
from ringlite_cli.samples import Request, SamplingSettings
from ringlite_cli.sampling.transformers_sampler import TransformersSampler

GENERATE, CHOOSE = "lm-eval:ringlite_generate", "lm-eval:ringlite_choose"
TOKENS = 8


def test_without_the_harness_the_way_to_get_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"'lm-eval:drop' needs lm-evaluation-harness.*ringlite\[harness\]"):
        harness.check_tasks(["lm-eval:drop"])


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_policy(tmp_path_factory.mktemp("policy"), scale=0.3)


@pytest.fixture(scope="module")
def files(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two tasks of four items; of the first, the gold answers of items 0 and 2 are what the policy writes greedily."""
    pytest.importorskip("lm_eval", reason="lm-evaluation-harness (extra `harness`) is not installed")
    folder = tmp_path_factory.mktemp("tasks")
    sampler = TransformersSampler(policy, settings=SamplingSettings(TOKENS, temperature=0), device="cpu")
    asked = [Request(str(i), [{"role": "user", "content": f"w{i} w{i + 9}"}]) for i in range(4)]
    answers = [group[0].text for group in sampler.sample(asked)]
    rows = [
        {
            "q": r.messages[0]["content"],
            "a": answers[i] if i % 2 == 0 else "w1",
            "choices": ["w1", "w2"],
            "label": i % 2,
        }
        for i, r in enumerate(asked)
    ]
    data = folder / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    common = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "doc_to_text": "{{q}}",
    }
    tasks = {
        GENERATE: {
            "output_type": "generate_until",
            "doc_to_target": "{{a}}",
            "generation_kwargs": {"until": ["w55"], "do_sample": False},
            "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        },
        CHOOSE: {
            "output_type": "multiple_choice",
            "doc_to_target": "label",
            "doc_to_choice": "{{choices}}",
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        },
    }
    made = {}
    for name, fields in tasks.items():
        made[name] = folder / f"{name.partition(':')[2]}.yaml"
        made[name].write_text(yaml.safe_dump({"task": made[name].stem, **common, **fields}))
    return made


class Load:
    def __init__(self) -> None:
        self.loaded = 0

    def __call__(self, path: Path | str) -> object:
        from ringlite_cli.sampling.harness_lm import open_harness_lm

        self.loaded += 1
        return open_harness_lm(path, Engine(), "transformers", "float32")


@pytest.mark.slow
def test_scores_items_and_what_is_done_is_not_done_again(policy: Path, files: dict[str, Path], tmp_path: Path) -> None:
    load = Load()
    options = {"settings": EvalSettings(max_completion_length=TOKENS), "files": files}
    scores = harness.run_harness({"model": policy}, list(files), load, tmp_path, **options)["model"]
    rows = read_jsonl(tmp_path / "responses.jsonl")
    mine = [row for row in rows if row["task"] == GENERATE]
    assert [row["reward"] for row in mine] == [1.0, 0.0, 1.0, 0.0]
    assert [row["verdict"] for row in mine] == ["correct", "wrong", "correct", "wrong"]
    assert all(row["tokens"] > 0 and row["prompt"].startswith("<|user|>w") for row in mine)
    assert (scores[GENERATE]["avg@k"], scores[GENERATE]["n"], scores[GENERATE]["k"]) == (0.5, 4, 1)
    assert scores[GENERATE]["ci95"][0] < 0.5 < scores[GENERATE]["ci95"][1]
    assert scores[GENERATE]["metric"] == "exact_match,none"
    theirs = scores[CHOOSE]["harness"]["ringlite_choose"]["acc,none"]
    assert scores[CHOOSE]["avg@k"] == theirs
    assert {row["response"] for row in rows if row["task"] == CHOOSE} <= {"w1", "w2"}

    again = harness.run_harness({"model": policy}, list(files), load, tmp_path, **options)["model"]
    assert (again, load.loaded, read_jsonl(tmp_path / "responses.jsonl")) == (scores, 1, rows)
    two = {**options, "settings": EvalSettings(max_completion_length=TOKENS, limit=2)}
    limited = harness.run_harness(
        {"model": policy},
        [GENERATE],
        load,
        tmp_path,
        **two,
    )["model"]
    assert (limited[GENERATE]["n"], load.loaded) == (2, 2)
    other = [row["id"] for row in read_jsonl(tmp_path / "responses.jsonl") if row["task"] == CHOOSE]
    assert len(other) == 4, "a task that is run again leaves the other's responses alone"
    difference = compare(tmp_path, tmp_path)["scores"]
    assert {row["difference"] for row in difference} == {0.0}


@pytest.mark.slow
def test_what_cannot_be_run_is_named_and_a_failed_policy_loses_no_other(
    policy: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="no task 'mmlu_por'; did you mean 'lm-eval:mmlu_pro'"):
        harness.check_tasks(["lm-eval:mmlu_por"])
    with pytest.raises(UserError, match="no such YAML file; give the file that defines the task"):
        harness.check_tasks([GENERATE], {GENERATE: tmp_path / "gone.yaml"})
    both = {"gone": tmp_path / "gone", "model": policy}
    with pytest.raises(WorkFailed, match=r"1 of 2 policies could not be evaluated(.|\n)*gone: .*no such model folder"):
        harness.run_harness(both, [CHOOSE], Load(), tmp_path, EvalSettings(max_completion_length=TOKENS), files=files)
    assert read_json(tmp_path / "harness" / "model" / "ringlite_choose.json")["score"]["n"] == 4
    broken = tmp_path / "broken.yaml"
    broken.write_text(files[CHOOSE].read_text().replace("ringlite_choose", "ringlite_broken").replace("rows", "none"))
    name = "lm-eval:ringlite_broken"
    with pytest.raises(UserError, match="could not run it"):
        harness.run_harness(
            {"m": policy}, [name], Load(), tmp_path, EvalSettings(max_completion_length=4), files={name: broken}
        )


@pytest.mark.slow
def test_the_standalone_form_runs_both_kinds_of_task(policy: Path, files: dict[str, Path], tmp_path: Path) -> None:
    from ringlite_cli.evals.standalone import evaluate_model

    own = tmp_path / "own.jsonl"
    own.write_text(json.dumps({"id": "p", "domain": "math", "prompt": "w1", "answer": "2"}) + "\n")
    scores = evaluate_model(
        policy,
        ["own", CHOOSE],
        lambda path, settings: TransformersSampler(path, settings=settings, device="cpu"),
        lambda pairs: [Verdict("wrong", 0.0) for _ in pairs],
        tmp_path / "out",
        EvalSettings(max_completion_length=TOKENS),
        data={"own": str(own), CHOOSE: str(files[CHOOSE])},
        make_lm=Load(),
    )
    assert read_json(tmp_path / "out" / "scores.json") == scores
    assert (scores["own"]["n"], scores[CHOOSE]["n"]) == (1, 4)
    assert Problem("p", "math", "w1", "2").prompt in {r["prompt"] for r in read_jsonl(tmp_path / "out/responses.jsonl")}
