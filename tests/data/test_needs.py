"""What rows need by their route, and what curation says where it is missing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ringlite_cli.data.curate import CurateResult, Steps, curate
from ringlite_cli.data.needs import is_for_sft_alone, lacks, problem_reason, trace_reason
from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem, read_problems
from ringlite_cli.recipe.schema import ProblemSet, Source
from ringlite_cli.rewards.verifiers import Verifiers
from ringlite_cli.runs.files import read_jsonl

NO_COMMA = {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
LETTER = "<think>\nBe kind.\n</think>\n\nDear guest, of course.\nAnna"
STDIN = {"mode": "stdin", "language": "python", "cases": [{"input": "3\n", "output": "4\n"}]}


@pytest.fixture(scope="module")
def verify() -> Iterator[Verifiers]:
    with Verifiers() as verifiers:
        yield verifiers


def _curate(
    tmp_path: Path, rows: list[dict[str, Any]], verify: Verifiers, *, steps: Steps | None = None, **more: Any
) -> CurateResult:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    traces = more.pop("traces", False)
    source = Source(path=str(tmp_path / "rows.jsonl"), **more)
    sets = {"all": ProblemSet(traces=traces)}
    return curate([source], sets, verify, tmp_path / "out", seed=1, generators={}, steps=steps)


def _problem(**fields: Any) -> Problem:
    return Problem(**({"id": "x", "domain": "math", "prompt": "What is 3 + 4 in the ring?"} | fields))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"answer": "7"}, None),
        ({}, "missing_answer"),
        ({"answer": "N/A"}, "missing_answer"),
        ({"verifier": "judge"}, None),
        ({"verifier": "reward-model"}, None),
        ({"verifier": "jugde", "answer": "7"}, "unknown_verifier"),
        ({"domain": "general", "answer": "7"}, "no_verifier"),
        ({"domain": "general", "verifier": "instructions"}, "missing_answer"),
        ({"domain": "general", "verifier": "token-f1"}, "missing_answer"),
        ({"domain": "general", "verifier": "rouge", "answer": "A storm. " * 60}, None),
        ({"domain": "code", "answer": "7"}, "missing_tests"),
        ({"domain": "code", "tests": STDIN}, None),
    ],
)
def test_what_a_route_lacks(fields: dict[str, Any], reason: str | None) -> None:
    problem = _problem(**fields)
    assert lacks(problem) == reason
    if problem.domain != "code":
        assert problem_reason(problem) == reason
    traced = _problem(**fields, trace="It is \\boxed{7}.")
    assert is_for_sft_alone(traced) == (reason is not None)
    assert problem_reason(traced) is None
    assert problem_reason(traced, strict=True) == reason


def test_a_long_prompt_that_is_judged_brings_its_figures_along() -> None:
    paper = "Sum up this paper. Figure 1 shows the design; see Section 3. " + "It is said at length. " * 50
    assert problem_reason(_problem(prompt=paper, verifier="judge", domain="general")) is None
    assert problem_reason(_problem(prompt=paper, answer="7")) == "image_needed"
    shown = f"{paper} ![the design](design.png)"
    assert problem_reason(_problem(prompt=shown, verifier="judge", domain="general")) == "image_needed"


@pytest.mark.parametrize(
    "prompt", ["Prove that 3 is a prime number.", "Explain why the sky is blue.", "Is it true or false that 3 > 2?"]
)
def test_rules_on_answers_that_are_compared_hold_for_no_others(prompt: str) -> None:
    assert problem_reason(_problem(prompt=prompt, answer="7")) in ("proof", "open_question", "true_false")
    assert problem_reason(_problem(prompt=prompt, verifier="judge", domain="general", answer="x " * 200)) is None
    assert problem_reason(_problem(prompt=prompt, trace="Because.")) is None
    said = "The reply has to be kind, has to be brief and may not promise anything to the guest."
    assert problem_reason(_problem(verifier="judge", answer=said)) is None
    assert problem_reason(_problem(prompt="Hi", verifier="judge")) == "prompt_too_short"


def test_traces_need_a_box_only_where_one_is_compared() -> None:
    assert trace_reason(_problem(trace=LETTER, domain="general")) is None
    assert trace_reason(_problem(trace=LETTER)) is None  # for SFT alone
    assert trace_reason(_problem(trace=LETTER, answer="7")) == "trace_truncated"
    assert trace_reason(_problem(trace="<think>\nBe ki", domain="general")) == "trace_truncated"
    assert trace_reason(_problem(trace="好的好的好的", prompt="Say yes in Chinese.", domain="general")) is None


def test_rows_for_sft_alone_are_kept_counted_and_never_scored(tmp_path: Path, verify: Verifiers) -> None:
    rows = [
        {"prompt": "Write a kind reply to a guest who asks for a late check-out.", "trace": LETTER},
        {"prompt": "Write add(x) that adds one to x.", "domain": "code", "trace": "```python\nadd = 1\n```"},
        {"prompt": "What is 3 plus 4 in the end?", "domain": "math", "answer": "7"},
    ]
    result = _curate(tmp_path, rows, verify, traces=True)
    kept = read_problems(result.sets["all"])
    assert sorted(p.domain for p in kept) == ["code", "general"]
    assert result.funnel["verified_by"] == {"none": 2, "answer": 1}
    assert {p.labels["verified_by"] for p in kept} == {"none"}
    others = _curate(tmp_path, rows, verify)
    assert [p.domain for p in read_problems(others.sets["all"])] == ["math"]


def test_instructions_are_asked_whether_they_are_known(tmp_path: Path, verify: Verifiers) -> None:
    prompt = "Write a reply number {} to a guest who asks for a late check-out. Do not use commas."
    answers: list[Any] = [
        NO_COMMA,
        json.dumps(NO_COMMA),
        NO_COMMA | {"instruction_id_list": ["punctuation:no_dash"]},
        {"instruction_id_list": ["length_constraints:number_words"], "kwargs": [{"words": 3}]},
        "no commas",
        None,
    ]
    rows = [{"prompt": prompt.format(n), "answer": a, "verifier": "instructions"} for n, a in enumerate(answers)]
    result = _curate(tmp_path, rows, verify)
    assert result.funnel["dropped"] == {"unknown_instructions": 3, "missing_answer": 1}
    assert result.funnel["verified_by"] == {"route": 2}
    details = [d.get("detail", "") for d in read_jsonl(tmp_path / "out" / "dropped.jsonl")]
    assert "punctuation:no_dash" in details[0]
    assert "arguments do not fit" in details[1]


def test_a_trace_that_breaks_its_own_instructions_is_taken_off(tmp_path: Path, verify: Verifiers) -> None:
    traces = ["<think>\nNo, no.\n</think>\n\nDear guest of course.", LETTER, None]
    rows = [
        {"prompt": f"Write a reply number {n} to a guest. Use no commas.", "answer": NO_COMMA, "trace": trace}
        | {"verifier": "instructions"}
        for n, trace in enumerate(traces)
    ]
    result = _curate(tmp_path, rows, verify)
    kept = read_problems(result.sets["all"])
    assert sorted((p.index, p.trace) for p in kept) == [(0, traces[0]), (1, None), (2, None)]
    assert result.funnel["traces_stripped"] == {"trace_not_followed": 1}
    assert result.funnel["verified_by"] == {"trace": 1, "route": 2}


def test_references_without_a_word_go_out_and_the_others_stay_whole(tmp_path: Path, verify: Verifiers) -> None:
    prompt = "Who wrote the long letter number {} to the guest?"
    answers = [["Anna", "Anna Weiss"], ["Anna"], {"text": ["Anna", "A."]}, "1920 (screws)", ["%%", "!"], "+", [], ""]
    rows = [{"q": prompt.format(n), "a": answer} for n, answer in enumerate(answers)]
    columns = {"prompt": "q", "answer": "a"}
    result = _curate(tmp_path, rows, verify, columns=columns, domain="general", verifier="token-f1")
    kept = sorted(read_problems(result.sets["all"]), key=lambda p: p.index)
    assert [p.answer for p in kept] == ['["Anna", "Anna Weiss"]', "Anna", '["Anna", "A."]', "1920 (screws)"]
    assert result.funnel["dropped"] == {"empty_reference": 2, "missing_answer": 2}
    assert result.funnel["verified_by"] == {"route": 4}
    card = (tmp_path / "out" / "CARD.md").read_text(encoding="utf-8")
    assert "no reference text has a word in it" in card


def test_references_by_a_column_of_verifiers_and_in_our_own_fields(tmp_path: Path, verify: Verifiers) -> None:
    row = {"prompt": "Who wrote the letter to the guest?", "answer": ["Anna", "B"], "verifier": "token-f1"}
    same = {name: name for name in row}
    for more in ({"columns": same}, {}):
        made = _curate(tmp_path, [row | {"domain": "general"}], verify, **more)
        assert [p.answer for p in read_problems(made.sets["all"])] == ['["Anna", "B"]']


def test_instructions_in_columns_of_their_own(tmp_path: Path, verify: Verifiers) -> None:
    row = {"q": "Write a reply to a guest without commas.", "ids": ["punctuation:no_comma"], "kw": [{}]}
    columns = {"prompt": "q", "instruction_id_list": "ids", "kwargs": "kw"}
    result = _curate(tmp_path, [row], verify, columns=columns, domain="general")
    (only,) = read_problems(result.sets["all"])
    assert (only.verifier, json.loads(only.answer or "")) == ("instructions", NO_COMMA)


def test_instructions_as_json_text(tmp_path: Path, verify: Verifiers) -> None:
    rows = [{"prompt": "Write to a guest, in one line.", **{name: json.dumps(v) for name, v in NO_COMMA.items()}}]
    columns = {"prompt": "prompt", **{name: name for name in NO_COMMA}}
    curated = _curate(tmp_path, rows, verify, columns=columns, domain="general")
    (kept,) = read_problems(curated.sets["all"])
    assert json.loads(kept.answer or "") == NO_COMMA


def test_judged_rows_need_nothing_or_a_rubric_of_any_length(tmp_path: Path, verify: Verifiers) -> None:
    rubric = [{"criterion": "It is kind. " * 40, "points": 3}]
    rows = [{"q": f"Write a brief reply number {n} to a guest.", "r": rubric if n % 2 else None} for n in range(4)]
    result = _curate(tmp_path, rows, verify, columns={"prompt": "q", "answer": "r"}, domain="general", verifier="judge")
    kept = read_problems(result.sets["all"])
    assert sorted(json.loads(p.answer) if p.answer else [] for p in kept) == [[], [], rubric, rubric]
    assert result.funnel["verified_by"] == {"none": 4}


def test_code_without_a_solution_is_kept_on_request_where_its_tests_reject_something(
    tmp_path: Path, verify: Verifiers
) -> None:
    idle = {"mode": "stdin", "language": "python", "cases": [{"input": "3\n", "output": ""}]}
    rows = [
        {"prompt": f"Read n and print n plus {n}.", "domain": "code", "tests": tests}
        for n, tests in enumerate([STDIN, idle])
    ]
    with pytest.raises(UserError, match=r"no_accepted_solution 2 \(row 0 of rows.jsonl.*require_solution: false"):
        _curate(tmp_path, rows, verify)
    result = _curate(tmp_path, rows, verify, steps=Steps(require_solution=False))
    assert (result.funnel["out"], result.funnel["dropped"]) == (1, {"tests_accept_anything": 1})


def test_an_empty_set_and_a_silent_held_out_source_say_why(tmp_path: Path, verify: Verifiers) -> None:
    rows = [{"q": f"What is {n} plus 4 in the end?", "a": None} for n in range(3)] + [{"q": "Hm?", "a": "1"}]
    columns = {"prompt": "q", "answer": "a"}
    says = (
        r"set 'all' is empty; .*dropped: missing_answer 3 \(row 0 of rows.jsonl: \"What is 0 plus 4 in the end\?\".*"
        r"prompt_too_short 1 \(row 3"
    )
    with pytest.raises(UserError, match=says):
        _curate(tmp_path, rows, verify, columns=columns, domain="math")
    held = Source(path=str(tmp_path / "rows.jsonl"), columns=columns, domain="math", split="eval", rows=3)
    (tmp_path / "more.jsonl").write_text('{"q": "What is 12 plus 4 in the end?", "a": "16"}\n')
    train = Source(path=str(tmp_path / "more.jsonl"), columns=columns, domain="math")
    result = curate([train, held], {"all": ProblemSet()}, verify, tmp_path / "held", seed=1, generators={})
    (warning,) = [w for w in result.warnings if "no data card" not in w]
    assert warning.startswith("the held-out source rows.jsonl gave no row; dropped: missing_answer 3 (row 0 of")


def test_dropped_rows_show_their_gold(tmp_path: Path, verify: Verifiers) -> None:
    rows = [{"q": "What is 3 plus 4 in the end?", "a": "7"}] * 2
    _curate(tmp_path, rows, verify, columns={"prompt": "q", "answer": "a"}, domain="math")
    (dropped,) = read_jsonl(tmp_path / "out" / "dropped.jsonl")
    assert (dropped["answer"], dropped["other_answer"]) == ("7", "7")


def test_the_rows_that_the_page_shows_are_kept(tmp_path: Path, verify: Verifiers) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "problems.md").read_text(encoding="utf-8")
    shown = text.partition("in ringlite's own fields:\n\n```json\n")[2].partition("\n```\n\nThe judge")[0]
    rows = [json.loads(line) for line in shown.splitlines()]
    assert len(rows) == 10
    result = _curate(tmp_path, rows, verify)
    assert result.funnel["dropped"] == {}
    assert result.funnel["verified_by"] == {"answer": 3, "none": 3, "solution": 1, "route": 3}
