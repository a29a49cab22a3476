"""Models asked through a real endpoint: retries, resuming, pass rates, traces from a teacher."""

import json
from pathlib import Path
from typing import Any

import pytest
from curation_helpers import exact_match, row
from endpoint_helpers import Server

from ringlite_cli.data.asking import Asking, estimate
from ringlite_cli.data.curate import Models, curate
from ringlite_cli.data.difficulty import by_pass_rate
from ringlite_cli.data.distill import clean_trace, distill
from ringlite_cli.data.rows import CuratedRow
from ringlite_cli.errors import UserError, WorkFailed
from ringlite_cli.problems import Verdict, Verify, read_problems
from ringlite_cli.recipe.schema import Difficulty, Distill, ProblemSet, Responder, Source
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.samples import Request, SamplingSettings
from ringlite_cli.sampling import endpoint
from ringlite_cli.sampling.endpoint import EndpointSampler

SETTINGS = SamplingSettings(max_completion_length=64)


def _asking(folder: Path, lines: list[str] | None = None, verify: Verify = exact_match) -> Asking:
    told = lines if lines is not None else []
    return Asking(lambda r: EndpointSampler(r, SETTINGS), verify, folder, report=told.append)


def _rows(*numbers: int, verified: str = "trace") -> list[CuratedRow]:
    made = [row(f"Double {n} for me, please.", str(2 * n), id=f"p{n}", trace=None) for n in numbers]
    for one in made:
        one.verified = verified
    return made


def test_samples_in_order_and_a_busy_server_is_tried_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "secret")
    server.replies = [(503, b"busy"), (200, b"not json"), (429, b"slow down")]
    sampler = EndpointSampler(server.responder(api_key_env="MY_KEY"), SETTINGS)
    done = []
    requests = [Request(f"p{n}", [{"role": "user", "content": f"Double {n}"}], 3) for n in (1, 2)]
    groups = sampler.sample(requests, on_done=lambda request, samples: done.append(request.problem_id))
    assert [[s.text for s in g] for g in groups] == [["\\boxed{2}"] * 3, ["\\boxed{4}"] * 3]
    assert [[s.index for s in g] for g in groups] == [[0, 1, 2]] * 2
    assert sorted(done) == ["p1", "p2"]
    assert (sampler.prompt_tokens, sampler.response_tokens) == (30, 42)
    assert set(server.keys) == {"Bearer secret"}
    assert len({b["seed"] for b in server.seen}) == 6
    assert server.seen[0]["max_tokens"] == 64


def test_an_endpoint_that_refuses_or_fails_for_good(server: Server) -> None:
    request = Request("p", [{"role": "user", "content": "Double 1"}])
    server.replies = [(401, b"who are you")]
    with pytest.raises(UserError, match=r"HTTP 401: who are you; put its key into .* OPENAI_API_KEY"):
        EndpointSampler(server.responder(), SETTINGS).sample([request])
    server.replies = [(500, b"oh")] * endpoint.TRIES
    with pytest.raises(WorkFailed, match=r"failed 5 times .HTTP 500: oh.*the same command goes on"):
        EndpointSampler(server.responder(), SETTINGS).sample([request])
    server.replies = [(200, {"choices": []})]
    with pytest.raises(WorkFailed, match="has no choices"):
        EndpointSampler(server.responder(), SETTINGS).sample([request])
    gone = Responder(endpoint="http://127.0.0.1:9/v1", model="x")
    with pytest.raises(WorkFailed, match="ConnectError"):
        EndpointSampler(gone, SETTINGS).sample([request])


def test_a_thought_apart_goes_back_between_its_marks_and_length_is_truncation(server: Server) -> None:
    server.thought, server.finish = "twice one", "length"
    ((sample,),) = EndpointSampler(server.responder(), SETTINGS).sample([Request("p", [{"content": "Double 1"}])])
    assert sample.text == "<think>\ntwice one\n</think>\n\n\\boxed{2}"
    assert sample.truncated


def test_what_was_asked_is_not_asked_again_even_after_a_failure(server: Server, tmp_path: Path) -> None:
    lines: list[str] = []
    rows, asking = _rows(*range(1, 9)), _asking(tmp_path, lines)
    server.replies = [(200, None)] * 9 + [(400, b"no more")] * 20
    with pytest.raises(UserError, match="no more"):
        asking.ask(rows, server.responder(), 2, "difficulty")
    kept = len({r["key"] for r in read_jsonl(asking.path)})
    assert 0 < kept < 8
    server.replies, server.seen = [], []
    answers = asking.ask(rows, server.responder(), 2, "difficulty")
    assert [[a.reward for a in group] for group in answers] == [[1.0, 1.0]] * 8
    assert len(server.seen) == 2 * 8 - 9
    asking.ask(rows, server.responder(), 2, "difficulty")
    assert len(server.seen) == 2 * 8 - 9
    asking.ask(rows[:1], server.responder(temperature=0.5), 2, "difficulty")
    assert len(server.seen) == 2 * 8 - 9 + 2
    assert lines[0].startswith("difficulty: 8 of 8 problems x 2 responses of tester")
    assert lines[2].startswith("difficulty: 0 of 8 problems")


def test_a_stop_waits_for_the_answers_under_way_and_none_is_asked_for_again(server: Server, tmp_path: Path) -> None:
    def stop(_: str, state: Any) -> None:
        if state.done >= 7:
            raise KeyboardInterrupt

    rows, asking = _rows(*range(1, 9)), _asking(tmp_path)
    asking.progress = stop
    with pytest.raises(KeyboardInterrupt):
        asking.ask(rows, server.responder(), 3, "difficulty")
    assert 7 <= len(server.seen) < 24
    again = _asking(tmp_path)
    assert [len(group) for group in again.ask(rows, server.responder(), 3, "difficulty")] == [3] * 8
    assert len({(b["messages"][0]["content"], b["seed"]) for b in server.seen}) == len(server.seen) == 24
    assert read_jsonl(tmp_path / "answers.jsonl") == []


def test_what_was_answered_and_not_verified_is_verified_without_its_model(server: Server, tmp_path: Path) -> None:
    def broken(_: Any) -> Any:
        raise OSError("the verifier is gone")

    rows, asking = _rows(1, 2), _asking(tmp_path)
    asking.verify = broken
    with pytest.raises(OSError, match="gone"):
        asking.ask(rows, server.responder(), 2, "difficulty")
    assert not read_jsonl(asking.path)
    again = _asking(tmp_path)
    again.open_sampler = broken
    answers = again.ask(rows, server.responder(), 2, "difficulty")
    assert [[a.reward for a in group] for group in answers] == [[1.0, 1.0]] * 2
    assert len(server.seen) == 4


def test_half_a_character_at_the_end_of_an_answer_can_be_written(server: Server, tmp_path: Path) -> None:
    server.answer = lambda body: "\\boxed{6} \ud83d"
    ((response,),) = _asking(tmp_path).ask(_rows(3), server.responder(), 1, "difficulty")
    assert response.text == "\\boxed{6} \ufffd"


def test_more_responses_than_before_are_as_many_different_ones(server: Server, tmp_path: Path) -> None:
    rows, asking = _rows(3), _asking(tmp_path)
    server.answer = lambda body: f"{body['seed']}: \\boxed{{6}}"
    asking.ask(rows, server.responder(temperature=1.0), 2, "difficulty")
    (responses,) = asking.ask(rows, server.responder(temperature=1.0), 4, "difficulty")
    assert len({r.text for r in responses}) == 4


def test_the_cost_is_shown_in_tokens_and_in_price() -> None:
    problems = [r.problem for r in _rows(1, 2)]
    responder = Responder(endpoint="http://x/v1", model="m", max_completion_length=1000, price_in=1, price_out=500)
    line = estimate(5, problems, responder, 4, "difficulty")
    assert "2 of 5 problems x 4 responses of m" in line
    assert "at most 8,000 response tokens, at most 4.00 in price" in line


def test_pass_rates_label_and_drop(server: Server, tmp_path: Path) -> None:
    easy, mixed, hard = _rows(1, 2, 3)
    (unconfirmed,) = _rows(4, verified="answer")
    (confirmed,) = _rows(5, verified="answer")
    held = row("Double 6 for me, please.", "12", split="eval")
    right = {1: 2, 2: 1, 3: 0, 4: 0, 5: 1}
    counts: dict[int, int] = {}

    def answer(body: dict[str, Any]) -> str:
        n = int(body["messages"][0]["content"].split()[1])
        counts[n] = counts.get(n, 0) + 1
        return f"\\boxed{{{2 * n if counts[n] <= right[n] else -1}}}"

    server.answer = answer
    section = Difficulty(models=[server.responder()], num_generations=2)
    sifted = by_pass_rate([easy, mixed, hard, unconfirmed, confirmed, held], section, _asking(tmp_path))
    assert [(d.problem.id, d.reason) for d in sifted.drops] == [
        ("p1", "always_solved"),
        ("p3", "never_solved"),
        ("p4", "no_agreement"),
    ]
    assert [r.problem.id for r in sifted.kept] == ["p2", "p5", held.problem.id]
    assert sifted.notes["pass_rates"] == {"tester": {"0": 2, "0.5 to 0.6": 2, "1": 1}}
    assert mixed.problem.labels["pass_rate"] == 0.5
    assert mixed.problem.labels["pass_rates"] == {"tester": 0.5}
    assert (mixed.verified, confirmed.verified) == ("trace", "models")
    keep_all = Difficulty(models=[server.responder()], num_generations=2, drop_all_right=False, drop_never_right=False)
    again = by_pass_rate([easy, mixed, hard], keep_all, _asking(tmp_path))
    assert [r.problem.labels["pass_rate"] for r in again.kept] == [1.0, 0.5, 0.0]


def by_likeness(pairs: Any) -> list[Verdict]:
    """Rewards between 0 and 1, of which some are right, as those of references are."""
    rewards = [float(response.split()[-1]) for _, response in pairs]
    return [Verdict("correct" if reward >= 0.8 else "wrong", reward) for reward in rewards]


def test_a_little_likeness_is_no_right_response(server: Server, tmp_path: Path) -> None:
    server.answer = lambda body: "It is 0.85" if " 1 " in body["messages"][0]["content"] else "It is so 0.1"
    more: dict[str, Any] = {"domain": "general", "verifier": "token-f1", "trace": None}
    rows = [row(f"Say it of {n} for me, please.", "so", id=f"p{n}", **more) for n in (1, 2)]
    for each in rows:
        each.verified = "trace"
    asking = _asking(tmp_path, verify=by_likeness)
    section = Difficulty(models=[server.responder()], num_generations=2, drop_all_right=False, drop_never_right=False)
    kept = by_pass_rate(rows, section, asking).kept
    assert [r.problem.labels["pass_rate"] for r in kept] == [1.0, 0.0]
    told = distill(rows, Distill(teacher=server.responder(), num_generations=1, rounds=1, replace=True), asking)
    assert (told["kept"], told["rejected"]) == (1, {"verdict_wrong": 1})
    assert [r.problem.trace for r in rows] == ["It is 0.85", None]  # in general no box is asked for


def test_distillation_keeps_the_right_whole_and_clean_and_goes_on_with_the_rest(server: Server, tmp_path: Path) -> None:
    tries: dict[int, int] = {}
    loop = "Wait, let me check that again.\n" * 20

    def answer(body: dict[str, Any]) -> str:
        n = int(body["messages"][0]["content"].split()[1])
        tries[n] = tries.get(n, 0) + 1
        box = f"\\boxed{{{2 * n}}}"
        first = {1: f"<think>\nwell\n</think>\n{box}<|im_end|>", 2: f"<think>\n{loop}</think>\n{box}", 3: "\\boxed{0}"}
        return first[n] if tries[n] == 1 or n == 3 else f"twice {n}\n</think>\n{box}"

    server.answer = answer
    rows = _rows(1, 2, 3)
    traced = row("Double 4 for me, please.", "8", trace="\\boxed{8}")
    section = Distill(teacher=server.responder(), num_generations=1, rounds=2)
    told = distill([*rows, traced], section, _asking(tmp_path))
    assert told == {
        "asked": 3,
        "kept": 2,
        "rounds": [{"asked": 3, "kept": 1}, {"asked": 2, "kept": 1}],
        "rejected": {"verdict_wrong": 2, "trace_repetitive": 1},
    }
    assert rows[0].problem.trace == "<think>\nwell\n</think>\n\\boxed{2}"
    assert rows[1].problem.trace == "<think>\ntwice 2\n</think>\n\\boxed{4}"
    assert rows[1].problem.labels["trace_round"] == 2
    assert (rows[2].problem.trace, traced.problem.trace) == (None, "\\boxed{8}")


def test_traces_are_cleaned_up() -> None:
    assert clean_trace("a</s>\n\n\n \n\nb <|eot_id|>\n") == "a\n\nb"
    assert clean_trace("if |x| < 3 and y|>2 then <ok>") == "if |x| < 3 and y|>2 then <ok>"


def test_the_whole_of_curation_with_models(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"q": f"Double {n} for me.", "a": str(2 * n)}) + "\n" for n in range(1, 7)))
    source = Source(path=str(path), columns={"prompt": "q", "answer": "a"}, domain="math")
    wrong = {1, 2}
    plain = server.answer
    server.answer = lambda body: "no" if int(body["messages"][0]["content"].split()[1]) in wrong else plain(body)
    models = Models(
        _asking(tmp_path / "out"),
        Difficulty(models=[server.responder()], num_generations=2, drop_all_right=False),
        Distill(teacher=server.responder(), num_generations=1, rounds=1),
    )
    result = curate(
        [source], {"all": ProblemSet()}, exact_match, tmp_path / "out", seed=1, generators={}, models=models
    )
    assert result.funnel["dropped"] == {"no_agreement": 2}
    assert result.funnel["distill"]["kept"] == 4
    assert result.funnel["labels"]["pass_rate"] == {"1": 4}
    (first, *_) = problems = read_problems(result.sets["all"])
    assert len(problems) == 4
    assert first.trace == f"\\boxed{{{first.answer}}}"
    assert first.labels["verified_by"] == "trace"
    card = (tmp_path / "out" / "CARD.md").read_text()
    assert "4 of 4 problems have one now" in card
    assert "## Pass rates of tester, all problems asked" in card
    assert "## Label: pass_rate" in card


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "exactly one of path, endpoint or policy"),
        ({"path": "a", "endpoint": "b", "model": "c"}, "exactly one"),
        ({"endpoint": "b"}, "endpoint needs model"),
    ],
)
def test_a_responder_is_one_thing(fields: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Responder(**fields)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_recipe_asks_an_endpoint_and_goes_on_after_it_failed(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from ringlite_cli.__main__ import run

    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps({"q": f"Double {n} for me.", "a": str(2 * n)}) + "\n" for n in range(1, 7)))
    recipe = {
        "name": "asks",
        "model": {"path": "nobody/nothing"},
        "prompt_suffix": {},
        "stages": {
            "curate": {
                "kind": "curate",
                "sources": [{"path": str(data), "columns": {"prompt": "q", "answer": "a"}, "domain": "math"}],
                "sets": {"traces": {"traces": True}},
                "distill": {
                    "teacher": server.responder().model_dump(exclude_none=True),
                    "num_generations": 1,
                    "rounds": 1,
                },
            }
        },
    }
    path = tmp_path / "asks.yaml"
    path.write_text(json.dumps(recipe))
    server.replies = [(200, None)] * 2 + [(400, b"out of money")] * 9
    command = ["curate", str(path), "--runs-dir", str(tmp_path / "runs")]
    assert run(command) == 2
    assert "out of money" in capsys.readouterr().err
    server.replies = []
    assert run(command) == 0
    out = capsys.readouterr().out
    assert "distill round 1: 6 of 6 problems have a trace" in out
    made = read_problems(tmp_path / "runs" / "asks" / "curate" / "traces.parquet")
    assert sorted(p.trace or "" for p in made) == sorted(f"\\boxed{{{2 * n}}}" for n in range(1, 7))
