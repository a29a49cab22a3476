"""Planted faults: rows of the raw pool that curation must find, a kind for each of its rules.

Each planted row is labelled `{"fault": kind}` so that tests can count what was caught; curation must not read it.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

from ringlite_cli.domains import writes_code
from ringlite_cli.problems import Problem

_Fault = Callable[[Problem, random.Random], Problem]

_EVAL_ROWS = 50


def plant(
    clean: Iterator[Problem], evals: Iterator[Problem], rows: int, fraction: float, rng: random.Random
) -> Iterator[Problem]:
    """Yields `rows` problems of which about `fraction` carry a fault; the kinds take turns.

    Copies (duplicate, near_duplicate) follow their original in the stream; "contamination" copies one of the first
    fifty problems of `evals`.
    """
    count = round(rows * fraction)
    places = set(rng.sample(range(1, rows), min(count, rows - 1))) if rows > 1 else set()
    targets = list(islice(evals, min(_EVAL_ROWS, rows))) if places else []
    earlier: list[Problem] = []
    kinds: list[str] = []
    for index in range(rows):
        if index not in places:
            earlier.append(next(clean))
            yield replace(earlier[-1], index=index)
            continue
        if not kinds:
            kinds = kinds_for(earlier[-1].domain)
            rng.shuffle(kinds)
        yield replace(_planted(kinds.pop(), clean, earlier, targets, rng), index=index)


def kinds_for(domain: str) -> list[str]:
    """The kinds of fault that make sense in a domain, copies first."""
    copies = ["duplicate", "near_duplicate", "contamination"]
    if domain == "general":
        return [*copies, *(kind for kind in _ANY if kind not in _COMPARED_ALONE), *_GENERAL]
    return [*copies, *_ANY, *(_CODE if writes_code(domain) else _BOXED)]


def _planted(
    kind: str, clean: Iterator[Problem], earlier: list[Problem], targets: list[Problem], rng: random.Random
) -> Problem:
    if kind == "duplicate":
        problem = rng.choice(earlier)
    elif kind == "near_duplicate":
        problem = _reworded(rng.choice(earlier), rng)
    elif kind == "contamination":
        problem = rng.choice(targets)
    else:
        problem = (_ANY | _CODE | _BOXED | _GENERAL)[kind](next(clean), rng)
    name = f"{problem.source}-fault-{rng.getrandbits(40):010x}"
    return replace(problem, id=name, labels={**problem.labels, "fault": kind})


def _reworded(problem: Problem, rng: random.Random) -> Problem:
    """The same problem with other white space, other case, or a filler word."""
    text = problem.prompt
    changed = rng.choice((text.replace(" ", "  "), f"  {text}\n", text.swapcase(), f"Please: {text}"))
    return replace(problem, prompt=changed)


def _invalid_characters(problem: Problem, rng: random.Random) -> Problem:
    place = rng.randrange(len(problem.prompt))
    junk = rng.choice(("\ufffd\ufffd", "\x00\x07", "Ã©â‚¬â„¢"))
    return replace(problem, prompt=problem.prompt[:place] + junk + problem.prompt[place:])


def _image_reference(problem: Problem, rng: random.Random) -> Problem:
    lead = rng.choice(("As shown in the figure below, ", "![diagram](images/fig1.png) ", "Look at the picture. "))
    return replace(problem, prompt=lead + problem.prompt)


def _multi_part(problem: Problem, rng: random.Random) -> Problem:
    second = rng.choice(("Explain how you found it.", "Write it in words.", "Do the same with every number doubled."))
    return replace(problem, prompt=f"(a) {problem.prompt}\n(b) {second}")


def _missing_answer(problem: Problem, rng: random.Random) -> Problem:
    return replace(problem, answer=None if rng.random() < 0.5 or problem.answer is None else "", tests=None)


def _multiple_choice(problem: Problem, rng: random.Random) -> Problem:
    right = int(problem.answer or 0)
    numbers = [right, right + 1, right + 10, right + 11]
    rng.shuffle(numbers)
    choices = " ".join(f"({letter}) {number}" for letter, number in zip("ABCD", numbers, strict=True))
    return _reanswered(problem, f"{problem.prompt}\n{choices}", "ABCD"[numbers.index(right)])


def _true_false(problem: Problem, rng: random.Random) -> Problem:
    truth = rng.random() < 0.5
    claimed = int(problem.answer or 0) + (0 if truth else rng.randint(1, 9))
    return _reanswered(problem, f"True or false: {problem.prompt} The answer is {claimed}.", str(truth))


def _yes_no(problem: Problem, rng: random.Random) -> Problem:
    right = int(problem.answer or 0)
    limit = right + rng.randint(-9, 9)
    return _reanswered(problem, f"{problem.prompt} Is it more than {limit}?", "Yes" if right > limit else "No")


def _reanswered(problem: Problem, prompt: str, answer: str) -> Problem:
    """Another question and answer, with a trace that fits the answer."""
    trace = problem.trace and problem.trace.replace(f"\\boxed{{{problem.answer}}}", f"\\boxed{{{answer}}}")
    return replace(problem, prompt=prompt, answer=answer, trace=trace)


def _wrong_answer(problem: Problem, rng: random.Random) -> Problem:
    return replace(problem, answer=str(int(problem.answer or 0) + rng.randint(1, 9)))


def _broken_tests(problem: Problem, rng: random.Random) -> Problem:
    """Tests that expect what no right program returns: the trace's own program fails them."""
    tests = dict(problem.tests or {})
    tests["cases"] = [{**case, "expected": f"not {case['expected']}"} for case in tests.get("cases", [])]
    return replace(problem, tests=tests)


def _code_times_out(problem: Problem, rng: random.Random) -> Problem:
    endless = "    while True:\n        pass\n    return"
    return replace(problem, trace=problem.trace and problem.trace.replace("    return", endless, 1))


def _repetitive_trace(problem: Problem, rng: random.Random) -> Problem:
    line = rng.choice(("Wait, let me check that again.\n", "So it is the same as before.\n"))
    return replace(problem, trace=problem.trace and problem.trace.replace("</think>", line * 40 + "</think>"))


def _no_final_answer(problem: Problem, rng: random.Random) -> Problem:
    return replace(problem, trace=problem.trace and problem.trace.split("</think>")[0] + "</think>\n")


def _truncated_trace(problem: Problem, rng: random.Random) -> Problem:
    end = problem.trace.index("</think>") if problem.trace else 0
    return replace(problem, trace=problem.trace and problem.trace[: rng.randint(end // 2, end)])


def _unknown_instruction(problem: Problem, rng: random.Random) -> Problem:
    return replace(problem, answer=(problem.answer or "").replace(":", ":un", 2))


_ANY: dict[str, _Fault] = {
    "invalid_characters": _invalid_characters,
    "multi_part": _multi_part,
    "missing_answer": _missing_answer,
    "repetitive_trace": _repetitive_trace,
    "no_final_answer": _no_final_answer,
    "truncated_trace": _truncated_trace,
}
_COMPARED_ALONE = ("multi_part",)
"""Kinds that are no fault where no answer is compared."""
_GENERAL: dict[str, _Fault] = {"unknown_instruction": _unknown_instruction}
_CODE: dict[str, _Fault] = {"broken_tests": _broken_tests, "code_times_out": _code_times_out}
_BOXED: dict[str, _Fault] = {
    "image_reference": _image_reference,  # a picture of a programming task illustrates what the words say
    "multiple_choice": _multiple_choice,
    "true_false": _true_false,
    "yes_no": _yes_no,
    "wrong_answer": _wrong_answer,
}
