"""reasoning-gym's scorers inside a jail: loaded once by its warm process, called in a fresh child for each answer.

Many of them evaluate the answer. A child is told by one word of a file what the score is, so an answer that ran as a
program could write any score: `closed_eval` therefore keeps every evaluation to expressions, and the answer's
characters are checked before it gets here (ringlite_cli/rewards/gym_answers.py).
"""

import fractions
import importlib.abc
import importlib.machinery
import json
import os
import re
import sys
import types
from collections.abc import Callable
from typing import Any

from . import closed_eval

_Scorer = Callable[[str, dict[str, Any]], float]
_scorers: dict[str, _Scorer] = {}
_NUMBER = re.compile(r"\d+")


class _Drawing(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Empty modules in place of matplotlib's, which a requirement of reasoning-gym imports to draw with.

    It would want a writable folder, and seconds to look at fonts.
    """

    def find_spec(self, name: str, *_: Any) -> importlib.machinery.ModuleSpec | None:
        drawing = name.partition(".")[0] in ("matplotlib", "mpl_toolkits")
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if drawing else None

    def exec_module(self, module: types.ModuleType) -> None:
        vars(module)["__getattr__"] = lambda name: type(name, (), {})


def warm() -> None:
    """Load reasoning-gym, make a scorer of every kind of task, and close what evaluates text."""
    sys.meta_path.insert(0, _Drawing())
    from reasoning_gym import factory

    closed_eval.close_sympy()
    closed_eval.close_modules("reasoning_gym")
    for name in factory.DATASETS:
        try:
            _scorers[name] = factory.get_score_answer_fn(name)
        except Exception:  # one that must be told what it consists of cannot score a row alone
            continue
    for _ in range(3):  # what a first call fills, no child has to
        _warm_up_sympy()


def _warm_up_sympy() -> None:
    import sympy

    x = sympy.Symbol("x")
    for text in ("3*(4 + 5)/2 - 1", "x**2*sin(x)/2 + exp(-2*x)*log(x) + sqrt(x) + C", "2*x**3 - 4*x*y + 7"):
        read = sympy.parse_expr(text, local_dict={"x": x, "C": sympy.Symbol("C")})
        sympy.simplify(sympy.diff(read, x) - sympy.diff(read, x))
    closed_eval.exact("3*(4 + 5)/2 - 1")


def score(payload: dict[str, Any], files: dict[str, int]) -> None:
    """Write {"score": 0 to 1} for `payload["answer"]` to the row `payload["entry"]`, or {"fault": why}."""
    os.write(files["result"], json.dumps(_outcome(payload["task"], payload["entry"], payload["answer"])).encode())


def _outcome(task: str, entry: dict[str, Any], answer: str) -> dict[str, Any]:
    if task not in _scorers:
        return {"fault": f"reasoning-gym has no task {task!r}"}
    try:
        return {"score": score_of(task, entry, answer)}
    except Exception as error:  # scorers differ in what they do with an answer that makes no sense
        if entry["answer"] is None:  # any of several answers: nothing to try the scorer with
            return {"score": 0.0}
        try:
            score_of(task, entry, entry["answer"])
        except Exception:
            return {"fault": f"the row cannot be scored ({type(error).__name__}: {str(error)[:100]})"}
        return {"score": 0.0}


def score_of(task: str, entry: dict[str, Any], answer: str) -> float:
    """The better of two scores: a row holds tuples that JSON makes lists, and some scorers compare tuples."""
    if not _meets_condition(task, entry, answer):
        return 0.0
    rows = (entry, {**entry, "metadata": _tuples(entry["metadata"])})
    scores, failures = [], []
    for row in rows:
        try:
            scores.append(float(_scorers[task](answer, row)))
        except Exception as error:
            failures.append(error)
    if not scores:
        raise failures[0]
    return max(scores)


def _uses_numbers(answer: str, metadata: dict[str, Any], target: int) -> bool:
    """Whether the expression comes to `target` exactly and uses each number once: no rounding, no other number."""
    used = sorted(int(number) for number in _NUMBER.findall(answer))
    return used == sorted(metadata["numbers"]) and closed_eval.exact(answer) == target


def _close(answer: str, gold: str) -> bool:
    """Within a thousandth of the gold answer: the scorer's own absolute tolerance takes 0 for every small chance."""
    want, got = fractions.Fraction(gold.replace(",", "")), fractions.Fraction(answer.replace(",", ""))
    return abs(got - want) <= abs(want) / 1000


def _same_numbers(answer: str, gold: str) -> bool:
    """Whether these are the numbers to sort: the scorer's own tolerance of 1 takes others for them."""
    given, wanted = (json.loads(text.replace("'", '"')) for text in (answer, gold))
    return bool(list(map(float, given)) == list(map(float, wanted)))


_Condition = Callable[[str, dict[str, Any]], bool]
CONDITIONS: dict[str, _Condition] = {
    "countdown": lambda answer, entry: _uses_numbers(answer, entry["metadata"], entry["metadata"]["target"]),
    "puzzle24": lambda answer, entry: _uses_numbers(answer, entry["metadata"], 24),
    "number_sorting": lambda answer, entry: _same_numbers(answer, entry["answer"]),
    "coin_flip": lambda answer, entry: _close(answer, entry["answer"]),
    "complex_arithmetic": lambda answer, entry: "nan" not in answer.casefold(),  # whose distance counts as none
    # its scorer takes every text that is not empty for true, and the gold answer "False" too
    "game_of_life_halting": lambda answer, entry: answer.strip().casefold() == entry["answer"].strip().casefold(),
}
"""What an answer must also meet where a scorer pays answers that solve nothing (found by lazy answers to each task)."""


def _meets_condition(task: str, entry: dict[str, Any], answer: str) -> bool:
    try:
        return task not in CONDITIONS or CONDITIONS[task](answer, entry)
    except (ValueError, ArithmeticError, RecursionError):
        return False


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(inner) for key, inner in value.items()}
    return tuple(_tuples(inner) for inner in value) if isinstance(value, list) else value
