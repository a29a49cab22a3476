"""Labels by rules, with how each was made; and test suites ordered by what they catch."""

from typing import Any

import pytest
from curation_helpers import exact_match, problem, row

from ringlite_cli.data.funnel import Kept, count
from ringlite_cli.data.labels import MSC, UNKNOWN, label, subject_class, topic
from ringlite_cli.data.suites import order_tests
from ringlite_cli.data.verification import foreign_imports
from ringlite_cli.problems import Problem, Verdict

SUBJECTS = [
    ("Find it.", {"subject": "Number Theory"}, "11", "source's subject"),
    ("What is the probability of a six?", {"subject": "Counting & Probability"}, "60", "source's subject"),
    ("In how many ways can 5 people sit?", {"subject": "Counting & Probability"}, "05", "source's subject"),
    ("Find the determinant of the matrix.", {"subject": "Precalculus"}, "15", "source's subject and words"),
    ("Find the area of the triangle with sides 3, 4 and 5.", {}, "51", "words"),
    ("How many primes leave remainder 3 when divided by 4?", {}, "11", "words"),
    ("Find the roots of the polynomial $x^2-1$.", {}, "12", "words"),
    ("Tom and Ann share it evenly.", {"education": "grade school"}, "97", "source's level"),
    ("Zzz.", {}, "unknown", "words: none known"),
    ("Find the area.", {}, "unknown", "words: unsure"),
    ("Find the primes of the circle, the area and the divisors.", {}, "unknown", "words: unsure"),
]


@pytest.mark.parametrize(("prompt", "labels", "code", "how"), SUBJECTS)
def test_subject_classes(prompt: str, labels: dict[str, Any], code: str, how: str) -> None:
    assert subject_class(problem(prompt, labels=labels)) == (code, how)
    assert code in (*MSC, UNKNOWN)


def test_topics() -> None:
    code = problem("Return the shortest path between two cities of the graph.", domain="code")
    assert topic(code) == ("graphs", "words")
    assert topic(problem("Do it.", domain="code")) == ("unknown", "words: none known")
    assert topic(problem("Sort the string.", domain="code")) == ("unknown", "words: unsure")
    assert topic(problem("Do it.", domain="code", labels={"tags": ["Two Pointers"]})) == (
        "two pointers",
        "source's tag",
    )
    assert topic(problem("How far is the star, by its magnitude?", domain="science"))[0] == "astronomy"


def test_every_label_says_how_it_was_made() -> None:
    made = label(problem("Find the area of the circle.", labels={"difficulty": 3, "education": "x", "pass_rate": 0.5}))
    how = made.pop("labelled_by")
    assert set(how) == set(made)
    assert how == {
        "subject_class": "words",
        "length": "counted",
        "difficulty": "source",
        "education": "source",
        "pass_rate": "models",
    }
    assert made["length"] == "16-31 characters"


def test_cases_that_catch_most_come_first() -> None:
    cases = [{"args": [2], "expected": 4}, {"args": [0], "expected": 0}, {"args": [5], "expected": 10}]
    tests = {"mode": "function", "language": "python", "entry_point": "f", "cases": cases}
    wrong = [
        f"```python\ndef f(n):\n    return {body}\n```" for body in ("n * n", "n * n * n // 2", "n * 2 if n < 5 else 0")
    ]
    made = row(
        "Double it.",
        None,
        domain="code",
        tests=tests,
        trace="```python\ndef f(n):\n    return n * 2\n```",
        labels={"wrong_solutions": wrong},
    )

    def with_cases(pairs: Any) -> list[Verdict]:
        return [_first_failing(p, response) for p, response in pairs]

    assert order_tests([made], with_cases) == 1
    assert [c["args"] for c in (made.problem.tests or {})["cases"]] == [[5], [2], [0]]
    assert made.problem.labels == {"wrong_programs_caught": 1.0}


def _first_failing(made: Problem, response: str) -> Verdict:
    """As the sandbox says it: the first case that fails, by its number."""
    cases = (made.tests or {})["cases"]
    for number, case in enumerate(cases):
        one = Problem("x", "code", "", tests={**(made.tests or {}), "cases": [case]})
        if not exact_match([(one, response)])[0].reward:
            return Verdict("wrong answer", 0.0, 0.0, f"case {number}; expected {case['expected']}")
    return Verdict("accepted", 1.0)


@pytest.mark.parametrize(
    ("program", "names"),
    [
        ("from sortedcontainers import SortedList\nimport os.path, numpy as np", ["numpy", "sortedcontainers"]),
        ("import heapq\nfrom collections import deque", []),
        ("def f(:", []),
    ],
)
def test_imports_beyond_pythons_own(program: str, names: list[str]) -> None:
    assert foreign_imports(f"```python\n{program}\n```") == names


def test_pass_rates_are_told_by_label() -> None:
    kept = Kept()
    for n, (level, rate) in enumerate([("easy", 1.0), ("easy", 0.5), ("hard", 0.25), ("hard", None)]):
        labels = {"level": level} | ({} if rate is None else {"pass_rate": rate})
        one = row(f"What is {n}?", id=str(n), labels=labels)
        kept.add(one, one.problem)
    told = count(kept, [], [], {}, [])["pass_rates_by_label"]
    assert told == {"level": {"hard": {"rows": 1, "pass_rate": 0.25}, "easy": {"rows": 2, "pass_rate": 0.75}}}
