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
from ringlite_cli.data.rows import CuratedRow
from ringlite_cli.problems import Problem, Verify

READ = ("math", "science")
"""Routes whose gold is a value that a solution can state."""

_MARKED = re.compile(r"^\s*####\s*(.+?)\s*$", re.M)
_TAGGED = re.compile(r"<answer>\s*(.+?)\s*</answer>", re.S)
_SAID = re.compile(
    r"\banswer\b[^.\n=:]{0,40}?(?:\bis\b|\bare\b|[:=])\s*:?\s*(.+?)\s*(?=[.。!]?\s*(?:\n|$)|\.\s|[。；])"
    r"|^\W*(?:final(?: result| value)?|ans\.?|result)\s*(?:[:=]|(?<=\.))\s*(.+?)\s*\.?\s*$"
    r"|(?:答案|最终结果|正确选项)\s*(?:是|为|[:：=])\s*[:：]?\s*(.+?)\s*(?=[。．.；]?\s*(?:\n|$)|[。；])"
    r"|故选\s*[:：]?\s*(.+?)\s*(?=[.。；]|\n|$)",
    re.I | re.M,
)
_HEADED = re.compile(
    r"(?:\A|\n)\W*(?:final )?(?:answer|result)\W*\n\s*(\S[^\n]*?)\s*\Z|\n\W*答案\W*\n\s*(\S[^\n]*?)\s*\Z", re.I
)
_BEFORE_VALUE = re.compile(r"\A(?:(?:thus|therefore|hence|then|simply|just|clearly|exactly|equal to)\b,?\s*)+", re.I)
_BOLD = re.compile(r"\*\*\s*([^*\n]+?)\s*\*\*[.。]?\s*\Z")
_FONT = re.compile(r"\\(?:mathbf|mathrm|textbf|text|bm|boldsymbol)\s*\{([^{}]*)\}")
_END_OF_PROOF = re.compile(r"\s*(?:∎|□|■|\\(?:blacksquare|square|qed)\b|Q\.?E\.?D\.?)\W*\Z")
_ROOT = r"(?:\d+\s*)?\\sqrt\s*(?:\{[^{}]+\}|\d)"
_VALUE = (
    rf"-?\s*(?:{_ROOT}|\d+(?:,\d{{3}})*(?:\.\d+)?(?:\s*/\s*\d+|\s*\\pi\b)?"
    r"|\\[dt]?frac\s*\{[^{}]+\}\s*\{[^{}]+\}(?:\s*\\pi)?)"
)
_PAIR = r"\(\s*-?\d+(?:\.\d+)?(?:\s*,\s*-?\d+(?:\.\d+)?)+\s*\)"
_ARRIVES = re.compile(
    r"(?:=|≈|\\approx|\b(?:is|are|was|makes?|making|equals?|gives?|gets?|leaves?|leaving|has|have|needs?|takes?|costs?"
    r"|totals?|earns?|remains?|altogether|therefore|thus|hence|so"
    r"|(?:simplif\w+|reduc\w+|comes?|round\w+|amounts?|equal|evaluates?|adds? up) to)\b(?: us\b| you\b)?"
    r"|[得为是共有剩]到?),?\s*:?\s*"
    rf"(?:[\\$£€]*\s*({_PAIR})|[\\$£€(\[]*\s*({_VALUE})(?![\d^_{{(]|[.,]\d))",
    re.I,
)
_ALONE = re.compile(r"\W*?(" + _VALUE + r")[\s$)\]}.。*\\]*")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+|(?<=[。！？])")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_CHOICE = re.compile(r"\A\(?[A-K][).:]\s*(?=\S)")  # (C) 7
_DRESS = re.compile(r"^\s*(?:\*+|\$+|\\\(|\\\[|[:：])\s*|\s*(?:\*+|\$+|\\\)|\\\]|[.。!,;])\s*$")
_PLAIN = re.compile(r"^-?\s*\$?\s*" + _VALUE.removeprefix("-?") + r"(?:\s*(?:\\?%|[A-Za-z][A-Za-z .]{0,30}))?$")
_BRACKETED_UNIT = re.compile(
    r"\s*(\$?" + _VALUE + r"\$?)\s*[(（]\s*(?:[A-Za-z]{2,}[A-Za-z .]*|[\u4e00-\u9fff]+)\s*[)）]\s*\Z"
)
_MOST_CHARACTERS = 200
_CLOSES = ".!?)]}$>`\"'*∎□■。！？）】」”"


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
    text = _END_OF_PROOF.sub("", solution.rpartition("</think>")[2].strip()).replace("−", "-")
    if box := last_boxed(text):
        return Result(box, True, text[-_MOST_CHARACTERS:])
    for found in (_TAGGED.findall(text), _MARKED.findall(text), _said(text), _BOLD.findall(text)):
        if found and (plain := _undressed(found[-1])):
            return Result(plain, True, text[-_MOST_CHARACTERS:])
    sentences = [s for s in _SENTENCE.split(_FONT.sub(r"\1", text)) if s.strip()]
    if not sentences:
        return None
    if alone := _ALONE.fullmatch(sentences[-1]):
        return Result(alone[1].strip(), False, sentences[-1])
    arrives = list(_ARRIVES.finditer(sentences[-1]))
    if not arrives or _NUMBER.search(sentences[-1], arrives[-1].end()):
        return None
    return Result((arrives[-1][1] or arrives[-1][2]).strip(), False, sentences[-1])


def _said(text: str) -> list[str]:
    """Return the last result that the text names as one, bare of what leads up to it; [] where it names none."""
    found = list(_HEADED.finditer(text)) or list(_SAID.finditer(text))
    named = [value for match in found if (value := next(filter(None, match.groups()), "").strip())]
    if not named:
        return []
    within = _SAID.search(named[-1])  # "Final answer: the answer is 12"
    value = next(filter(None, within.groups()), "") if within else named[-1]
    return [_BEFORE_VALUE.sub("", value)]


def breaks_off(solution: str) -> bool:
    """Return whether a text ends in the middle of a word, formula or sentence."""
    return not solution or solution.endswith(("...", ",", "，")) or solution[-1] not in _CLOSES


def states_result(solution: str) -> bool:
    """Return whether the last line of a solution arrives at a value, or its last lines name one as the answer."""
    lines = solution.rpartition("</think>")[2].strip().splitlines() or [""]
    return last_result(lines[-1]) is not None or bool(_HEADED.search(solution))


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


def weigh(rows: Sequence[CuratedRow], problems: dict[int, Problem], verify: Verify) -> dict[int, Evidence]:
    """Ask the verifier of each row whether what its solution arrives at is its gold, by the id of the row."""
    asked = [(row, result, form) for row in rows for result, form in _readings(problems[id(row)])]
    verdicts = verify([(problems[id(row)], f"\\boxed{{{form}}}") for row, _, form in asked])
    right = {id(row) for (row, _, _), verdict in zip(asked, verdicts, strict=True) if verdict.reward}
    results = {id(row): result for row, result, _ in asked}
    return {id(row): _evidence(problems[id(row)], results.get(id(row)), id(row) in right) for row in rows}


def _readings(problem: Problem) -> list[tuple[Result, str]]:
    """Return what the solution arrives at, as it stands and as a bare value."""
    found = last_result(problem.trace or "")
    if found is None or len(found.text) > _MOST_CHARACTERS:
        return []
    forms = [found.text, found.text.rpartition("=")[2].strip(), _CHOICE.sub("", found.text)]
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
    comparable = _PLAIN.match(_CHOICE.sub("", result.text)) and _PLAIN.match(_undressed(problem.answer or ""))
    whole = result.explicit or not breaks_off((problem.trace or "").rstrip())
    return Evidence("contradicts" if comparable and whole and not mentioned else "undecided", result.text)


def _undressed(text: str) -> str:
    """The text without bold, dollar signs and a full stop around it."""
    before = ""
    while text != before:
        before, text = text, _DRESS.sub("", text.strip())
    return text
