"""evaluate and the standalone form, with a real tiny model: files, resume after a stop, policies kept apart."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from endpoint_helpers import Server
from policies import write_tiny_policy

from ringlite_cli.errors import UserError, WorkFailed
from ringlite_cli.evals.evaluate import by_domain, describe, evaluate, score
from ringlite_cli.evals.responses import ResponseLog, collect
from ringlite_cli.evals.standalone import evaluate_model
from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.recipe.evaluation import EvalSettings
from ringlite_cli.runs.files import read_json, read_jsonl
from ringlite_cli.samples import SamplingSettings
from ringlite_cli.sampling.endpoint import EndpointSampler
from ringlite_cli.sampling.transformers_sampler import TransformersSampler

PROBLEMS = [Problem(f"q{i}", "math" if i % 2 else "logic", f"{i} + 1?", str(i + 1)) for i in range(6)]
OPTIONS = {"settings": EvalSettings(num_generations=2, max_completion_length=12), "seed": 5}
MORE = {**OPTIONS, "settings": EvalSettings(num_generations=3, max_completion_length=12)}


def verify(pairs: Sequence[tuple[Problem, str]]) -> list[Verdict]:
    """Right is a response of even length: a random policy gets some right and some wrong."""
    return [Verdict("correct" if len(text) % 2 == 0 else "wrong", float(len(text) % 2 == 0)) for _, text in pairs]


class Load:
    """Loads policies and counts how often."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def __call__(self, path: Path | str, settings: SamplingSettings) -> TransformersSampler:
        self.loaded.append(Path(path).name)
        return TransformersSampler(path, settings=settings, device="cpu")


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("policies")
    return {name: write_tiny_policy(root / name, seed=i, scale=0.3) for i, name in enumerate(("base", "tuned"))}


def test_scores_and_responses_are_written_per_policy_and_task(policies: dict[str, Path], tmp_path: Path) -> None:
    scores = evaluate(policies, by_domain(PROBLEMS), Load(), verify, tmp_path, **OPTIONS)
    assert scores == read_json(tmp_path / "scores.json")
    assert {name: set(of) for name, of in scores.items()} == {"base": {"math", "logic"}, "tuned": {"math", "logic"}}
    rows = read_jsonl(tmp_path / "responses.jsonl")
    assert len(rows) == 2 * 6 * 2
    fields = [
        "policy",
        "task",
        "id",
        "domain",
        "sample",
        "prompt",
        "response",
        "verdict",
        "reward",
        "tokens",
        "truncated",
        "entropy",
        "thought_opened",
        "revision",
    ]
    assert list(rows[0]) == fields
    for policy, tasks in scores.items():
        for task, result in tasks.items():
            mine = [row for row in rows if (row["policy"], row["task"]) == (policy, task)]
            assert result["avg@k"] == pytest.approx(sum(row["reward"] for row in mine) / len(mine))
            assert (result["n"], result["k"], result["tokens"]) == (3, 2, sum(row["tokens"] for row in mine))
            assert result["ci95"][0] <= result["avg@k"] <= result["ci95"][1]


def test_a_stopped_evaluation_goes_on_and_ends_as_an_unbroken_one(policies: dict[str, Path], tmp_path: Path) -> None:
    whole = evaluate(policies, {"mix": PROBLEMS}, Load(), verify, tmp_path / "whole", **OPTIONS)
    expected = sorted(map(json.dumps, read_jsonl(tmp_path / "whole" / "responses.jsonl")))

    class Stopping(TransformersSampler):
        def sample(self, requests, on_done=None, progress=None):
            super().sample(requests[:2], on_done)
            raise KeyboardInterrupt

    broken = tmp_path / "broken"
    with pytest.raises(KeyboardInterrupt):
        evaluate(policies, {"mix": PROBLEMS}, lambda p, s: Stopping(p, settings=s), verify, broken, **OPTIONS)
    assert {row["id"] for row in read_jsonl(broken / "responses.jsonl")} == {"q0", "q1"}
    with (broken / "responses.jsonl").open("a") as file:
        file.write('{"policy": "base", "task": "mix", "id": "q2", "prompt": "2 + 1?", "sample": 0}\n{"torn')
    assert evaluate(policies, {"mix": PROBLEMS}, Load(), verify, broken, **OPTIONS) == whole
    assert sorted(map(json.dumps, read_jsonl(broken / "responses.jsonl"))) == expected


def test_what_waits_to_be_scored_when_a_stop_comes_is_scored_and_kept(
    policies: dict[str, Path], tmp_path: Path
) -> None:
    class Stopping(TransformersSampler):
        def sample(self, requests, on_done=None, progress=None):
            super().sample(requests[:2], on_done)
            raise KeyboardInterrupt

    def entropy_of(sampler, responses):
        return [1.5] * len(responses)

    settings = SamplingSettings(max_completion_length=12, seed=5)
    sampler = Stopping(policies["base"], settings=settings, device="cpu")
    with ResponseLog(tmp_path) as log, pytest.raises(KeyboardInterrupt):
        collect(log, "base", {"mix": PROBLEMS}, sampler, verify, k={"mix": 2}, suffix={}, entropy_of=entropy_of)
    rows = read_jsonl(tmp_path / "responses.jsonl")
    assert [(row["id"], row["sample"], row["entropy"]) for row in rows] == [
        ("q0", 0, 1.5), ("q0", 1, 1.5), ("q1", 0, 1.5), ("q1", 1, 1.5)
    ]  # fmt: skip


def test_a_finished_evaluation_loads_nothing_and_a_changed_one_redoes_only_itself(
    policies: dict[str, Path], tmp_path: Path
) -> None:
    first = evaluate(policies, {"mix": PROBLEMS}, Load(), verify, tmp_path, **OPTIONS)
    again = Load()
    assert evaluate(policies, {"mix": PROBLEMS}, again, verify, tmp_path, **OPTIONS) == first
    assert again.loaded == []
    write_tiny_policy(policies["tuned"], seed=9, scale=0.3)
    third = evaluate(policies, {"mix": PROBLEMS}, again, verify, tmp_path, **OPTIONS)
    assert again.loaded == ["tuned"]
    assert third["base"] == first["base"]
    assert len(read_jsonl(tmp_path / "responses.jsonl")) == 24
    evaluate(
        policies,
        {"mix": PROBLEMS},
        again,
        verify,
        tmp_path,
        **MORE,
    )
    assert again.loaded == ["tuned", "base", "tuned"]
    assert len(read_jsonl(tmp_path / "responses.jsonl")) == 36


def test_more_problems_sample_only_the_new_ones(policies: dict[str, Path], tmp_path: Path) -> None:
    base = {"base": policies["base"]}
    evaluate(base, {"mix": PROBLEMS[:4]}, Load(), verify, tmp_path, **OPTIONS)
    before = read_jsonl(tmp_path / "responses.jsonl")
    scores = evaluate(base, {"mix": PROBLEMS}, Load(), verify, tmp_path, **OPTIONS)
    after = read_jsonl(tmp_path / "responses.jsonl")
    assert after[: len(before)] == before
    assert (len(after), scores["base"]["mix"]["n"]) == (12, 6)


def test_a_policy_that_cannot_be_loaded_does_not_lose_the_others(policies: dict[str, Path], tmp_path: Path) -> None:
    both = {"gone": tmp_path / "gone", "base": policies["base"]}
    with pytest.raises(WorkFailed, match=r"1 of 2 policies could not be evaluated(.|\n)*gone: .*no such model folder"):
        evaluate(both, {"mix": PROBLEMS}, Load(), verify, tmp_path / "out", **OPTIONS)
    assert set(read_json(tmp_path / "out" / "scores.json")) == {"base"}
    with pytest.raises(UserError, match="no such model folder"):
        evaluate({"gone": tmp_path / "gone"}, {"mix": PROBLEMS}, Load(), verify, tmp_path / "out2", **OPTIONS)


def test_a_verifier_that_fails_ends_the_evaluation(policies: dict[str, Path], tmp_path: Path) -> None:
    def failing(pairs: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        raise WorkFailed("the jail is gone")

    with pytest.raises(WorkFailed, match="the jail is gone"):
        evaluate(policies, {"mix": PROBLEMS}, Load(), failing, tmp_path, **OPTIONS)


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ({"mix": []}, "task mix: the task has no problems"),
        ({"mix": PROBLEMS[:1] * 2}, "1 problem ids occur more than once, such as 'q0'"),
    ],
)
def test_tasks_without_problems_or_with_ids_twice(tmp_path: Path, tasks: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        evaluate({}, tasks, Load(), verify, tmp_path, **OPTIONS)


def rows(rewards: list[int], *, truncated: bool = False, domain: str = "math") -> list[dict]:
    return [
        {
            "reward": float(r),
            "tokens": 10,
            "truncated": truncated,
            "verdict": "x",
            "domain": domain,
            "response": f"\\boxed{{{r}}}",
        }
        for r in rewards
    ]


def test_rewards_between_0_and_1_pass_where_their_verdict_says_so() -> None:
    """avg: (0.9 + 0.2 + 0.1 + 0) / 4; pass@2: the first problem has a correct response, the second none."""
    likeness = [("correct", 0.9), ("wrong", 0.2)], [("wrong", 0.1), ("wrong", 0.0)]
    plain = rows([0])[0]
    result = score([[plain | {"verdict": v, "reward": r} for v, r in group] for group in likeness])
    assert result["avg@k"] == pytest.approx(0.3)
    assert result["pass@k"] == 0.5


def test_a_score_worked_by_hand() -> None:
    """avg: (1/4 + 0 + 4/4) / 3; pass@4: 2 of 3; the commonest answers: wrong, wrong, right."""
    result = score([rows([1, 0, 0, 0]), rows([0] * 4), rows([1] * 4)])
    assert result["avg@k"] == pytest.approx(5 / 12)
    assert result["pass@k"] == pytest.approx(2 / 3)
    assert result["maj@k"] == pytest.approx(1 / 3)
    assert (result["n"], result["k"], result["tokens"], result["truncated_fraction"]) == (3, 4, 120, 0)
    assert "notes" not in result
    assert "maj@k" not in score([rows([1], domain="code")])


def test_a_score_says_when_many_responses_were_cut() -> None:
    result = score([rows([0, 1], truncated=True)])
    assert result["notes"] == [
        "100% of the responses were cut at the length limit: raise max_completion_length to trust the score"
    ]
    assert "(100% cut)" in describe(result)


def test_the_standalone_form(policies: dict[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "gsm.json"
    file.write_text(json.dumps([{"problem": f"{i}?", "solution": f"#### {i}"} for i in range(5)]))
    options = {"settings": EvalSettings(num_generations=2, limit=3, max_completion_length=8)}
    scores = evaluate_model(
        policies["base"], ["gsm8k"], Load(), verify, tmp_path / "out", data={"gsm8k": str(file)}, **options
    )
    assert read_json(tmp_path / "out" / "scores.json") == scores
    assert {"avg@k", "ci95", "pass@k", "n", "k"} <= set(scores["gsm8k"])
    assert (scores["gsm8k"]["n"], scores["gsm8k"]["k"]) == (3, 2)
    assert len(read_jsonl(tmp_path / "out" / "responses.jsonl")) == 6
    log = (tmp_path / "out" / "run.log").read_text()
    assert f"eval of {policies['base']}" in log

    own = tmp_path / "own.jsonl"
    own.write_text(json.dumps({"id": "p", "domain": "logic", "prompt": "1?", "answer": "2"}) + "\n")
    more = {**options, "data": {"own": str(own)}}
    second = evaluate_model(policies["base"], ["own"], Load(), verify, tmp_path / "out", **more)
    assert read_json(tmp_path / "out" / "scores.json") == scores | second, "an earlier task's score stays"
    with pytest.raises(UserError, match=r"out: the folder holds the scores of another model, .*base; give another"):
        evaluate_model(policies["tuned"], ["own"], Load(), verify, tmp_path / "out", **more)
    assert read_json(tmp_path / "out" / "scores.json") == scores | second


def test_another_commit_of_a_hub_id_is_another_model(policies: dict[str, Path], tmp_path: Path) -> None:
    """What no commit is known of (results of earlier versions, a hub that can't be asked) is kept, as that."""
    file = tmp_path / "gsm.json"
    file.write_text(json.dumps([{"problem": f"{i}?", "solution": f"#### {i}"} for i in range(3)]))
    options = {"settings": EvalSettings(num_generations=2, max_completion_length=4), "data": {"gsm8k": str(file)}}
    out = tmp_path / "out"

    def drawn(commit: str | None) -> bool:
        load = Load()
        evaluate_model(
            "owner/name",
            ["gsm8k"],
            lambda _, settings: load(policies["base"], settings),
            verify,
            out,
            commit=commit,
            **options,
        )
        return bool(load.loaded)

    def known() -> list[str]:
        return read_json(out / "resume.json")["model/gsm8k"]["model"][0]

    assert [drawn(commit) for commit in ("a1", "a1", "b2", None)] == [True, False, True, False]
    assert known() == ["owner/name", "b2"]
    assert drawn("c3")
    (out / "resume.json").write_text(json.dumps(read_json(out / "resume.json")).replace(', "c3"', ""))
    assert not drawn("d4")
    assert known() == ["owner/name"], "they may be of any commit"


@pytest.mark.parametrize(
    ("tasks", "options", "message"),
    [
        ([], {}, "--tasks: name at least one task"),
        (["gsm8"], {}, "did you mean 'gsm8k'"),
        (["gsm8k"], {"num_generations": 0}, "num_generations: input should be greater than 0, not 0"),
        (["gsm8k"], {"limit": 0}, "limit: input should be greater than 0, not 0"),
        (["gsm8k"], {"top_p": 1.5}, "top_p: input should be less than or equal to 1"),
        (["gsm8k"], {"data": {"amc": "x"}}, "--data: 'amc' is not among --tasks"),
    ],
)
def test_flags_that_are_wrong(tmp_path: Path, tasks: list[str], options: dict, message: str) -> None:
    files = {"data": options.pop("data")} if "data" in options else {}
    with pytest.raises(UserError, match=message):
        evaluate_model(tmp_path, tasks, Load(), verify, tmp_path, EvalSettings.made(**options), **files)


def test_a_prompt_without_room_for_a_response_is_a_failure_and_costs_no_other_score(policies, tmp_path) -> None:
    long = Problem("long", "math", "1 + " * 3000 + "1?", "3001")
    calm = evaluate({"base": policies["base"]}, {"mine": PROBLEMS}, Load(), verify, tmp_path / "calm", **OPTIONS)
    load = Load()
    scores = evaluate({"base": policies["base"]}, {"mine": [long, *PROBLEMS]}, load, verify, tmp_path / "a", **OPTIONS)
    score_of = scores["base"]["mine"]
    assert score_of["n"] == 7
    assert score_of["avg@k"] == pytest.approx(calm["base"]["mine"]["avg@k"] * 6 / 7)
    assert score_of["verdicts"]["prompt too long"] == 2
    assert "prompts without room for a response count as failures: 1 (long)" in score_of["notes"]
    rows = read_jsonl(tmp_path / "a" / "responses.jsonl")
    assert [row["prompt_tokens"] > 2000 for row in rows if row["id"] == "long"] == [True, True]
    of_others = [{k: v for k, v in row.items() if k != "task"} for row in rows if row["id"] != "long"]
    assert of_others == [
        {k: v for k, v in row.items() if k != "task"} for row in read_jsonl(tmp_path / "calm" / "responses.jsonl")
    ]
    evaluate({"base": policies["base"]}, {"mine": [long, *PROBLEMS]}, load, verify, tmp_path / "a", **OPTIONS)
    assert load.loaded == ["base"]  # a failure is not asked again


def test_a_prompt_that_a_server_refuses_as_too_long_is_a_failure_too(tmp_path) -> None:
    server = Server()
    server.answer = lambda body: "Two."
    server.refuses = lambda body: b"maximum context length" if "1 + 1 + " in body["messages"][0]["content"] else None
    long = Problem("long", "math", "1 + " * 3000 + "1?", "3001")
    try:
        scores = evaluate(
            {"base": "served"},
            {"mine": [*PROBLEMS, long]},
            lambda path, settings: EndpointSampler(server.responder(), settings),
            verify,
            tmp_path,
            **OPTIONS,
        )
    finally:
        server.close()
    score_of = scores["base"]["mine"]
    assert (score_of["n"], score_of["verdicts"]) == (7, {"correct": 12, "prompt too long": 2})
    assert "prompts without room for a response count as failures: 1 (long)" in score_of["notes"]


def test_a_set_of_nothing_but_such_prompts_is_an_error(policies, tmp_path) -> None:
    long = Problem("long", "math", "1 + " * 3000 + "1?", "3001")
    with pytest.raises(UserError, match=r"no prompt leaves room for a response: mine/long has .* tokens"):
        evaluate({"base": policies["base"]}, {"mine": [long]}, Load(), verify, tmp_path, **OPTIONS)


def test_a_set_that_grew_by_such_a_prompt_alone_is_scored(policies, tmp_path) -> None:
    """What is left to ask is then nothing but too long; what was answered before still counts."""
    long = Problem("long", "math", "1 + " * 3000 + "1?", "3001")
    only = {"base": policies["base"]}
    before = evaluate(only, {"mine": PROBLEMS}, Load(), verify, tmp_path, **OPTIONS)["base"]["mine"]
    after = evaluate(only, {"mine": [*PROBLEMS, long]}, Load(), verify, tmp_path, **OPTIONS)["base"]["mine"]
    assert after["n"] == before["n"] + 1
    assert after["avg@k"] == pytest.approx(before["avg@k"] * 6 / 7)
