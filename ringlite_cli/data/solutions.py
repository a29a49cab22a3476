"""Worked solutions as evidence: the last result that one states, in any usual form, confirms or contradicts the gold.

Read, in this order: a box, "#### 12", "the answer is 12", a bold result at the end, and the value that the last
sentence arrives at ("= 12", "and 3 more make 12"). The last of these says less: a gold that the solution mentions
somewhere else is then neither confirmed nor contradicted.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ringlite_cli.boxes import last_boxed
from ringlite_cli.data.notation import common
from ringlite_cli.data.rows import Row
from ringlite_cli.problems import Problem, Verify

READ = ("math", "science")
"""Routes whose gold is a value that a solution can state."""

_MARKED = re.compile(r"^\s*####\s*(.+?)\s*$", re.M)
_SAID = re.compile(
    r"\banswer\b[^.\n=:]{0,40}?(?:\bis\b|\bare\b|[:=])\s*:?\s*(.+?)\s*(?=[.。!]?\s*(?:\n|$)|\.\s|[。；])"
    r"|(?:答案|最终结果|正确选项)\s*(?:是|为|[:：=])\s*(.+?)\s*(?=[。．.；]?\s*(?:\n|$)|[。；])|故选\s*[:：]?\s*(.+?)\s*(?=[。.；]|\n|$)",
    re.I,
)
_BOLD = re.compile(r"\*\*\s*([^*\n]+?)\s*\*\*[.。]?\s*\Z")
_VALUE = r"-?\s*(?:\d[\d,]*(?:\.\d+)?(?:\s*/\s*\d+)?|\\[dt]?frac\s*\{[^{}]+\}\s*\{[^{}]+\}(?:\s*\\pi)?)"
_ARRIVES = re.compile(
    r"(?:=|≈|\\approx|\b(?:is|are|was|makes?|making|equals?|gives?|gets?|leaves?|leaving|has|have|needs?|takes?|costs?"
    r"|totals?|earns?|remains?|altogether)\b|[得为是共有剩])\s*:?\s*[\\$£€(\[]*\s*(" + _VALUE + r")(?![\d^_{(]|\.\d)",
    re.I,
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+|(?<=[。！？])")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_DRESS = re.compile(r"^\s*(?:\*+|\$+|\\\(|\\\[|[:：])\s*|\s*(?:\*+|\$+|\\\)|\\\]|[.。!,;])\s*$")
_PLAIN = re.compile(r"^-?\s*\$?\s*" + _VALUE.removeprefix("-?") + r"(?:\s*(?:\\?%|[A-Za-z][A-Za-z .]{0,30}))?$")
_BRACKETED_UNIT = re.compile(
    r"\s*(\$?" + _VALUE + r"\$?)\s*[(（]\s*(?:[A-Za-z]{2,}[A-Za-z .]*|[\u4e00-\u9fff]+)\s*[)）]\s*\Z"
)
_MOST_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Result:
    """What a solution arrives at. explicit: it says so; else it is read off its last sentence."""

    text: str
    explicit: bool
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a solution says of the gold: "confirms", "contradicts" or "undecided"; and what it arrives at."""

    says: str
    result: str = ""


def last_result(solution: str) -> Result | None:
    """Return what the solution ends in, or None where nothing is stated."""
    text = solution.rpartition("</think>")[2].strip()
    if box := last_boxed(text):
        return Result(box, True, text[-_MOST_CHARACTERS:])
    said = [match for match in _SAID.finditer(text) if next(filter(None, match.groups()), "").strip()]
    for found in (_MARKED.findall(text)[-1:], [next(filter(None, m.groups())) for m in said[-1:]], _BOLD.findall(text)):
        if found and (plain := _undressed(found[0])):
            return Result(plain, True, text[-_MOST_CHARACTERS:])
    sentences = [s for s in _SENTENCE.split(text) if s.strip()]
    arrives = list(_ARRIVES.finditer(sentences[-1])) if sentences else []
    if not arrives or _NUMBER.search(sentences[-1], arrives[-1].end()):
        return None
    return Result(arrives[-1][1].strip(), False, sentences[-1])


def states_result(solution: str) -> bool:
    """Whether the last line of a solution says that this is the answer."""
    line = (solution.rpartition("</think>")[2].strip().splitlines() or [""])[-1]
    found = last_result(line)
    return found is not None and found.explicit


def with_box(solution: str, answer: str) -> str:
    """The solution, its text as it is, with the box at the end that verifiers read."""
    return f"{solution.rstrip()}\n\n$\\boxed{{{answer}}}$"


def answer_of(problem: Problem) -> str | None:
    """The answer that a problem without one has in its worked solution, where the solution says so."""
    if problem.answer or not problem.trace or problem.tests or (problem.verifier or problem.domain) not in READ:
        return None
    found = last_result(problem.trace)
    if found is None or not found.explicit or len(found.text) > _MOST_CHARACTERS:
        return None
    said = last_boxed(problem.trace) or _NUMBER.search(found.text) or "\\" in found.text
    return found.text if said else None


def without_unit(answer: str) -> str:
    """The answer without a unit in brackets after a number: "99 (screws)" is 99."""
    found = _BRACKETED_UNIT.match(answer)
    return found[1] if found else answer


def weigh(rows: Sequence[Row], problems: dict[int, Problem], verify: Verify) -> dict[int, Evidence]:
    """Ask the verifier of each row whether what its solution arrives at is its gold, by the id of the row."""
    asked = [(row, result, form) for row in rows for result, form in _readings(problems[id(row)])]
    verdicts = verify([(problems[id(row)], f"\\boxed{{{form}}}") for row, _, form in asked])
    right = {id(row) for (row, _, _), verdict in zip(asked, verdicts, strict=True) if verdict.reward}
    results = {id(row): result for row, result, _ in asked}
    return {id(row): _evidence(problems[id(row)], results.get(id(row)), id(row) in right) for row in rows}


def _readings(problem: Problem) -> list[tuple[Result, str]]:
    """What the solution arrives at, as it stands and as a bare value."""
    found = last_result(problem.trace or "")
    if found is None or len(found.text) > _MOST_CHARACTERS:
        return []
    forms = [found.text, found.text.rpartition("=")[2].strip()]
    if (value := re.search(_VALUE, found.text)) and _PLAIN.match(found.text):
        forms.append(value[0].replace(",", ""))
    return [(found, form) for form in dict.fromkeys(forms) if form]


def _evidence(problem: Problem, result: Result | None, right: bool) -> Evidence:
    if result is None:
        return Evidence("undecided")
    if right:
        return Evidence("confirms", result.text)
    gold = common(problem.answer or "")
    place = result.sentence if result.explicit else problem.trace or ""
    numbers = set(_NUMBER.findall(gold))
    mentioned = not numbers or numbers <= set(_NUMBER.findall(common(place)))
    comparable = _PLAIN.match(result.text) and _PLAIN.match(_undressed(problem.answer or ""))
    return Evidence("contradicts" if comparable and not mentioned else "undecided", result.text)


def _undressed(text: str) -> str:
    """The text without bold, dollar signs and a full stop around it."""
    before = ""
    while text != before:
        before, text = text, _DRESS.sub("", text.strip())
    return text
