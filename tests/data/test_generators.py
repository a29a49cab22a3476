"""The demo's problems: reproducible, split by construction, right in both styles, with every fault planted."""

import ast
import re
from collections import Counter

import pytest

from ringlite_cli.data.generators import GENERATORS
from ringlite_cli.data.generators.base import bucket
from ringlite_cli.data.generators.digits import add, multiply, subtract
from ringlite_cli.data.generators.faults import kinds_for
from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem

NAMES = sorted(GENERATORS)


def make(name: str, rows: int, seed: int = 17, split: str = "train", **options: float) -> list[Problem]:
    return list(GENERATORS[name].generate(rows, seed, split, options))


def final(trace: str | None) -> str:
    return (trace or "").split("</think>\n")[1]


def run_program(problem: Problem, code: str) -> bool:
    names: dict = {}
    exec(code, names)
    return all(names["f"](*case["args"]) == case["expected"] for case in (problem.tests or {})["cases"])


def test_five_domains_have_a_generator():
    assert {g.domain for g in GENERATORS.values()} == {"math", "code", "science", "logic", "general"}


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_rows_and_another_seed_others(name):
    assert make(name, 60, faults=0.3) == make(name, 60, faults=0.3)
    assert make(name, 60) != make(name, 60, seed=18)


@pytest.mark.parametrize("name", NAMES)
def test_a_longer_stream_begins_with_the_shorter_one(name):
    assert make(name, 50)[:20] == make(name, 20)


@pytest.mark.parametrize("name", NAMES)
def test_splits_share_no_prompt_whatever_their_seeds(name):
    train = {p.prompt for seed in (1, 2, 3) for p in make(name, 400, seed)}
    for split in ("select", "eval"):
        assert not train & {p.prompt for p in make(name, 80, 4, split)}


@pytest.mark.parametrize("name", NAMES)
def test_no_problem_comes_twice_and_ids_and_indices_are_unique(name):
    rows = make(name, 800)
    assert len({p.prompt for p in rows}) == len({p.id for p in rows}) == 800
    assert [p.index for p in rows] == list(range(800))


def test_a_bucket_does_not_depend_on_the_process():
    assert [bucket("47+85"), bucket("a")] == [bucket("47+85"), bucket("a")]
    assert Counter(bucket(str(n)) < 80 for n in range(5000))[True] == pytest.approx(4000, abs=150)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("functions", "instructions")])
def test_the_trace_boxes_the_answer(name):
    assert all(final(p.trace) == f"\\boxed{{{p.answer}}}" for p in make(name, 300))


def test_an_arithmetic_answer_is_the_value_of_its_expression():
    for p in make("arithmetic", 300, operands=4):
        expression = re.search(r"[0-9+-]+", p.prompt)
        assert expression
        assert eval(expression.group()) == int(p.answer or "x")
        assert "-" not in (p.answer or "")


def test_every_step_of_a_careful_arithmetic_trace_is_right():
    checked = 0
    for p in make("arithmetic", 200, careful=1.0):
        for left, result in re.findall(r"([0-9+-]+)=([0-9]+)(?!b)\b", p.trace or ""):
            parts = re.findall(r"[+-]?[0-9]+", left)
            assert sum(map(int, parts)) == int(result)
            checked += 1
    assert checked > 500


def test_digit_work_is_as_written_by_hand():
    assert add(47, 85) == "47+85: 7+5+0=12; 4+8+1=13; so 132"
    assert subtract(132, 36) == "132-36: 2-6-0=6b; 3-3-1=9b; 1-0-1=0; so 96"
    assert multiply(46, 7) == "46*7: 6*7=42; 4*7=28; 28+4=32; so 322"


def test_a_functions_trace_passes_its_tests_and_a_wrong_constant_fails():
    for p in make("functions", 200):
        block = re.fullmatch(r"```python\n(.*)\n```", final(p.trace), re.DOTALL)
        assert block
        code = block.group(1)
        ast.parse(code)
        assert run_program(p, code), p.prompt
        constant = re.findall(r"\d+", code)[-1]
        off = code[: code.rindex(constant)] + str(int(constant) + 1) + code[code.rindex(constant) + len(constant) :]
        assert not run_program(p, off), (p.prompt, off)


def test_a_formula_is_the_product_of_its_quantities():
    for p in make("formulas", 200):
        a, b = map(int, re.findall(r"\d+", p.prompt))
        assert int(p.answer or "x") == a * b


def test_puzzle_answers():
    for p in make("puzzles", 300):
        body = p.prompt.split(": ")[-1].rstrip("?")
        if p.prompt.startswith("Sort"):
            word = re.findall(r"\d+", p.prompt)[0]
            assert p.answer == "".join(sorted(word))
        elif "numbers" in p.prompt:
            odd = sum(int(n) % 2 for n in body.split())
            assert int(p.answer or "x") == (odd if "odd" in p.prompt else len(body.split()) - odd)
        else:
            assert int(p.answer or "x") == body.split().count(p.prompt.split()[2])


@pytest.mark.parametrize("name", NAMES)
def test_the_careful_style_is_longer_and_as_common_as_asked(name):
    rows = make(name, 1000, careful=0.3)
    careful = [len(p.trace or "") for p in rows if p.labels["style"] == "careful"]
    terse = [len(p.trace or "") for p in rows if p.labels["style"] == "terse"]
    assert len(careful) == pytest.approx(300, abs=60)
    assert sum(careful) / len(careful) > 1.5 * sum(terse) / len(terse)


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_of_fault_is_planted_at_the_asked_rate(name):
    rows = make(name, 1000, faults=0.1)
    faults = Counter(p.labels["fault"] for p in rows if "fault" in p.labels)
    assert len(rows) == 1000
    assert sum(faults.values()) == 100
    assert set(faults) == set(kinds_for(GENERATORS[name].domain))
    assert max(faults.values()) - min(faults.values()) <= 1
    assert [p.index for p in rows] == list(range(1000))


@pytest.mark.parametrize("name", NAMES)
def test_copies_follow_their_original_and_contamination_is_an_eval_problem(name):
    rows = make(name, 600, faults=0.2)
    evals = {p.prompt for p in make(name, 50, split="eval")}
    first: dict[str, int] = {}
    for p in rows:
        fault = p.labels.get("fault")
        if fault == "duplicate":
            assert first[p.prompt] < p.index
        elif fault == "near_duplicate":
            assert p.prompt not in first
            squeezed = re.sub(r"\s+", "", p.prompt.lower().removeprefix("please: "))
            assert squeezed in {re.sub(r"\s+", "", q.lower()) for q in first}
        elif fault == "contamination":
            assert p.prompt in evals
        first.setdefault(p.prompt, p.index)


def faulty(name: str, kind: str) -> list[Problem]:
    found = [p for p in make(name, 600, faults=0.3) if p.labels.get("fault") == kind]
    assert found
    return found


def test_a_wrong_answer_disagrees_with_its_trace():
    assert all(final(p.trace) != f"\\boxed{{{p.answer}}}" for p in faulty("arithmetic", "wrong_answer"))


def test_broken_tests_fail_the_traces_own_program():
    for p in faulty("functions", "broken_tests"):
        assert not run_program(p, final(p.trace).removeprefix("```python\n").removesuffix("```"))


def test_planted_traces_lack_what_their_names_say():
    assert all("\\boxed" not in (p.trace or "") for p in faulty("formulas", "no_final_answer"))
    assert all("</think>" not in (p.trace or "") for p in faulty("puzzles", "truncated_trace"))
    assert all("while True" in (p.trace or "") for p in faulty("functions", "code_times_out"))
    assert all(not p.answer and not p.tests for p in faulty("functions", "missing_answer"))
    assert all(max(Counter((p.trace or "").splitlines()).values()) >= 40 for p in faulty("puzzles", "repetitive_trace"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"carefull": 0.5}, "did you mean 'careful'"),
        ({"faults": 2}, "not a fraction"),
        ({"operands": 2.5}, "whole number"),
        ({"careful": "half"}, "not a number"),
    ],
)
def test_a_wrong_option_is_the_users_error(options, message):
    with pytest.raises(UserError, match=message):
        list(GENERATORS["arithmetic"].generate(3, 17, "train", options))


def test_an_unknown_split_is_the_users_error():
    with pytest.raises(UserError, match="one of train, select, eval"):
        list(GENERATORS["arithmetic"].generate(3, 17, "test"))


def test_asking_for_more_than_there_is_says_so():
    with pytest.raises(UserError, match="problem space is used up"):
        make("arithmetic", 500, operands=2, largest=5)
