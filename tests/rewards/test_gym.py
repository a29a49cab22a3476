"""reasoning-gym's scorers: which answers reach them, in what process, and what comes of them."""

import ast
import importlib.util
import json
from pathlib import Path

import pytest

from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem
from ringlite_cli.rewards import Verifiers, VerifierSettings
from ringlite_cli.rewards.gym import is_installed, last_answer, require_jail, require_scorers
from ringlite_cli.rewards.gym_answers import EVALUATING, MAX_CHARACTERS, fault_of
from ringlite_cli.sandbox import isolation_level
from ringlite_cli.sandbox.view import Isolation

needs_gym = pytest.mark.skipif(not is_installed(), reason="reasoning-gym is not installed")
needs_jail = pytest.mark.skipif(isolation_level().level == "none", reason=f"isolation here is {isolation_level()}")


def problem_of(task: str, answer: str | None, **metadata: object) -> Problem:
    entry = {"answer": answer, "metadata": {"source_dataset": task, **metadata}}
    return Problem(task, "logic", "?", answer=json.dumps(entry), verifier="logic-gym")


@pytest.fixture(scope="module")
def verify():
    with Verifiers(VerifierSettings(workers=1, math_timeout=20.0, isolation="none")) as opened:
        yield opened


@needs_gym
@needs_jail
@pytest.mark.slow
def test_the_scorers_take_the_right_answer_of_every_task(verify):
    import reasoning_gym

    pairs, golds = [], []
    for task in sorted(reasoning_gym.factory.DATASETS.keys() - {"composite"}):
        row = reasoning_gym.create_dataset(task, size=1, seed=3)[0]
        entry = json.dumps({"answer": row["answer"], "metadata": row["metadata"]}, default=str)
        problem = Problem(task, "logic", row["question"], answer=entry, verifier="logic-gym")
        if row["answer"] is not None:
            golds.append(task)
            pairs += [
                (problem, f"<answer>{row['answer']}</answer>"),
                (problem, "<answer>no idea</answer>"),
                (problem, ""),
            ]
    verdicts = [v.verdict for v in verify(pairs)]
    assert len(golds) > 90
    assert [t for t, v in zip(golds, verdicts[::3], strict=True) if v != "correct"] == []
    assert [t for t, v in zip(golds, verdicts[1::3], strict=True) if v != "wrong"] == []
    assert set(verdicts[2::3]) == {"unparsed"}


@needs_gym
@needs_jail
@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "metadata", "answer", "verdict"),
    [
        ("countdown", {"numbers": [2, 3, 7], "target": 13}, "2*3 + 7", "correct"),
        ("countdown", {"numbers": [2, 3, 7], "target": 13}, "7+3*2", "correct"),
        ("countdown", {"numbers": [2, 3, 7], "target": 13}, "13", "wrong"),
        ("countdown", {"numbers": [2, 3, 7], "target": 13}, "2*3 + 7 + pi/pi - 1", "wrong"),
        ("countdown", {"numbers": [2, 3], "target": 8}, "2**3", "wrong"),
        ("countdown", {"numbers": [7, 2], "target": 3}, "7//2", "wrong"),
        ("countdown", {"numbers": [2, 3, 7], "target": 13}, "(" * 900 + "2*3+7" + ")" * 900, "wrong"),
        ("puzzle24", {"numbers": [1, 2, 3, 4]}, "1*2*3*4", "correct"),
        ("puzzle24", {"numbers": [1, 2, 3, 4]}, "6*4*1*1", "wrong"),
        ("puzzle24", {"numbers": [5, 5, 7, 9]}, "5*5 - 7/9", "wrong"),  # 24.2, which a whole number would round
        ("polynomial_multiplication", {}, "x**2 - 1", "correct"),
        ("polynomial_multiplication", {}, "expand((x - 1)*(x + 1))", "wrong"),
        ("simple_integration", {"variable": "x", "integrand": "2*x + cos(x)"}, "x**2 + sin(x) + C", "correct"),
        ("simple_integration", {"variable": "x", "integrand": "2*x + cos(x)"}, "integrate(2*x + cos(x), x)", "wrong"),
        ("simple_integration", {"variable": "x", "integrand": "2*x + cos(x)"}, "Integral(2*x + cos(x), x)", "wrong"),
        ("spiral_matrix", {}, "1 2 3", "wrong"),
        ("coin_flip", {}, "0", "wrong"), ("coin_flip", {}, "1/1024", "correct"), ("coin_flip", {}, "1e999999", "wrong"),
        ("complex_arithmetic", {"result": [3.0, -2.0]}, "nan", "wrong"),
        ("complex_arithmetic", {"result": [3.0, -2.0]}, "nan + 2i", "wrong"),
        ("complex_arithmetic", {"result": [3.0, -2.0]}, "3.0 - 2.0i", "correct"),
        ("game_of_life_halting", {}, "yes", "wrong"), ("game_of_life_halting", {}, "True", "wrong"),
        ("game_of_life_halting", {}, "false", "correct"),
        ("no_such_task", {}, "1", "error"),
    ],
)  # fmt: skip
def test_an_answer_must_solve_the_task_with_what_it_was_given(verify, task, metadata, answer, verdict):
    gold = {
        "polynomial_multiplication": "x**2 - 1",
        "spiral_matrix": "1 2 4",
        "coin_flip": "0.0009765625",
        "game_of_life_halting": "False",
    }.get(task, "0")
    assert verify([(problem_of(task, gold, **metadata), f"<answer>{answer}</answer>")])[0].verdict == verdict


@pytest.mark.parametrize("task", sorted(EVALUATING))
@pytest.mark.parametrize(
    "answer",
    ["__import__('os').system('id')", "exec('1')", "().__class__", "[x for x.y in z]", "print(1)", "lambda: 0",
     "f'{1}'", "x.y", "open('f', 'w')", "[1 if 2 else 3]", "a" * 50_000, "\x1b[2J", "\ud800", "S('1')", "x;y", "a=1"],
)  # fmt: skip
def test_no_form_of_an_evaluated_answer_lets_a_program_through(task, answer):
    assert fault_of(task, answer)


@pytest.mark.parametrize(
    ("task", "answer"),
    [("countdown", "21*(55 - 1 - 42) + 48 / 65"), ("simple_integration", "-x**3/3 + log(x)*asin(2.5*x) + C"),
     ("polynomial_multiplication", "12*x**4*y - 3*z"), ("n_queens", "_ Q _ _\n_ _ _ Q"), ("spiral_matrix", "1 2 -3"),
     ("string_insertion", "ABCDE"), ("binary_matrix", "0 1\n1 2"),
     ("binary_matrix", "[[0, 1], ['1', 2]]"), ("word_sorting", "été, “naïve” \t漢字")],
)  # fmt: skip
def test_right_forms_pass(task, answer):
    assert fault_of(task, answer) == ""


def test_the_length_of_an_answer_is_bounded_everywhere():
    assert fault_of("word_sorting", "a" * MAX_CHARACTERS) == ""
    assert "more than 20,000 characters" in fault_of("word_sorting", "a" * (MAX_CHARACTERS + 1))


@pytest.mark.slow
@needs_gym
def test_every_scorer_that_evaluates_its_answer_has_a_form():
    """Read from the installed scorers' own text: a later version with another one fails here."""
    spec = importlib.util.find_spec("reasoning_gym")
    found = set()
    for file in Path(spec.submodule_search_locations[0]).rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for scorer in (node for node in ast.walk(tree) if getattr(node, "name", "") == "score_answer"):
            for call in (node for node in ast.walk(scorer) if isinstance(node, ast.Call)):
                name = ast.unparse(call.func).rpartition(".")[2]
                if name in ("eval", "exec", "parse_expr", "sympify", "S", "compile") and ast.unparse(call.args[0]) in (
                    "answer", "answer.strip()",
                ):  # fmt: skip
                    found.add(file.stem)
    assert found - {"propositional_logic"} == set(EVALUATING)  # its parse_expr is a parser of its own


@pytest.mark.parametrize(
    ("response", "answer"),
    [("<answer>5</answer>", "5"), ("<ANSWER> 5\n</Answer>", "5"), ("<answer>1</answer> no: <answer>2</answer>", "2"),
     ("I write it in <answer> tags: <answer>7</answer>", "7"), ("<answer>7</answer></answer>", "7"),
     ("\\boxed{3}", "3"), ("<answer>open \\boxed{3}", "3"), ("nothing", None)],
)  # fmt: skip
def test_the_last_answer(response, answer):
    assert last_answer(response) == answer


def test_the_last_answer_is_found_in_linear_time():
    assert last_answer("<answer>" * 200_000 + "1</answer>") == "1"


def test_reasoning_gym_missing_is_said_with_how_to_get_it(monkeypatch):
    monkeypatch.setattr("ringlite_cli.rewards.gym.is_installed", lambda: False)
    problem = problem_of("x", "1")
    with Verifiers(VerifierSettings(workers=1)) as verify, pytest.raises(UserError, match="pip install reasoning-gym"):
        verify([(problem, "<answer>1</answer>")])
    with pytest.raises(UserError, match="pip install reasoning-gym"):
        require_scorers([problem])
    require_scorers([Problem("m", "math", "?", answer="1")])


def test_without_a_jail_scorers_that_evaluate_are_refused_and_others_are_not():
    with pytest.raises(UserError, match=r"scorers of countdown, n_queens run .* isolation here is none.*bubblewrap"):
        require_jail({"n_queens", "countdown", "maze"}, Isolation("none"))
    require_jail({"maze"}, Isolation("none"))
    require_jail({"countdown"}, Isolation("partial"))


@pytest.mark.parametrize("answer", ["", "[]", "{}", '{"answer": "1"}', '{"answer": 1, "metadata": {}}', "[" * 100_000])
@needs_gym
def test_a_row_that_is_not_reasoning_gyms_is_our_error(answer):
    with Verifiers(VerifierSettings(workers=1, isolation="none")) as verify:
        broken = verify([(Problem("p", "logic", "?", answer=answer, verifier="logic-gym"), "<answer>1</answer>")])
    assert broken[0].verdict == "error"


@needs_gym
@needs_jail
@pytest.mark.slow
def test_partial_scores_are_rewards_where_they_are_asked_for(verify):
    """The verdict is the same, and so are full scores, answers that miss a condition and those that are not there."""
    gold = "1 2 3 4\n3 4 1 2\n2 1 4 3\n4 3 2 1"
    grid = [list(map(int, line.split())) for line in gold.splitlines()]
    sudoku = problem_of("mini_sudoku", gold, puzzle=grid, solution=grid)
    off = problem_of("countdown", "2*3 + 7", numbers=[2, 3, 7], target=13)
    half = gold.replace("4 3 2 1", "4 3 1 2")
    pairs = [
        (sudoku, f"<answer>{gold}</answer>"), (sudoku, f"<answer>{half}</answer>"), (sudoku, "?"),
        (off, "<answer>2 + 3 + 7</answer>"),
    ]  # fmt: skip
    with Verifiers(VerifierSettings(workers=1, math_timeout=20.0, isolation="none", partial_scores=True)) as kind:
        given = kind(pairs)
    assert [v.verdict for v in given] == [v.verdict for v in verify(pairs)] == ["correct", "wrong", "unparsed", "wrong"]
    assert [v.reward for v in verify(pairs)] == [1.0, 0.0, 0.0, 0.0]
    assert [round(v.reward, 3) for v in given] == [1.0, round(14 / 16 * 0.9, 3), 0.0, 0.0]


@needs_gym
@needs_jail
@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "verdict"),
    [("['2.0', '3.0', '4.0']", "correct"), ("[2, 3, 4]", "correct"), ("['3.0', '3.0', '3.0']", "wrong"),
     ("['2.0', '3.0', '4.9']", "wrong"), ("['4.0', '3.0', '2.0']", "wrong"), ("[[2], 3, 4]", "wrong")],
)  # fmt: skip
def test_other_numbers_are_no_sorted_ones(verify, answer, verdict):
    """The scorer of reasoning-gym 0.1.25 takes every number that is off by 1 at most."""
    sorting = problem_of("number_sorting", "['2.0', '3.0', '4.0']", direction="ascending")
    assert verify([(sorting, f"<answer>{answer}</answer>")])[0].verdict == verdict
