"""Logic: the last `\\boxed{}` equals the gold answer, as text or as a list of items."""

import re

from ringlite_cli.boxes import last_boxed
from ringlite_cli.problems import Verdict
from ringlite_cli.rewards.math import CORRECT, ERROR, UNPARSED, WRONG
from ringlite_cli.rewards.normalise import answer_texts, decimal_of, normalise, plain

_MAX_CHARACTERS = 20_000
_ARROW = re.compile(r"\\(?:to|rightarrow|longrightarrow|Rightarrow|implies)(?![A-Za-z])|->|=>|→|⇒|⟶")
_CONNECTIVES = (
    ("∧", re.compile(r"\\(?:land|wedge)(?![A-Za-z])|[∧&]|\\&")),
    ("∨", re.compile(r"\\(?:lor|vee)(?![A-Za-z])|∨")),
    ("¬", re.compile(r"\\(?:lnot|neg)(?![A-Za-z])|¬")),
    ("↔", re.compile(r"\\(?:leftrightarrow|Leftrightarrow|iff)(?![A-Za-z])|<->|<=>|[↔⇔⟷]")),
    ("∀", re.compile(r"\\forall(?![A-Za-z])|∀")),
    ("∃", re.compile(r"\\exists(?![A-Za-z])|∃")),
)
_JOINING = ("", "and", "or")
_MACRO = re.compile(r"\\(?:text|mathrm|textbf|mathbf|texttt|mbox)\s*\{([^{}]*)\}")


def verify_logic(answer: object, response: str) -> Verdict:
    """The verdict on one response: white space, case, brackets and quotes aside, item by item, in order."""
    boxed = last_boxed(response)
    if boxed is None:
        return Verdict(UNPARSED, 0.0, 0.0, "no complete \\boxed{}")
    golds = answer_texts(answer)
    if not golds:
        return Verdict(ERROR, 0.0, 0.0, "the problem has no gold answer")
    if len(boxed) > _MAX_CHARACTERS:
        return Verdict(WRONG, 0.0, 0.0, f"an answer of more than {_MAX_CHARACTERS:,} characters")
    got = items(boxed)
    wanted = [items(gold) for gold in golds]
    if (pairs := _pairs_of(answer)) is not None and pairs == _pairs_of(boxed):
        return Verdict(CORRECT, 1.0)
    if isinstance(answer, str) and len(golds) > 1:
        wanted.append(items(answer))  # a JSON list of words may also be one answer of several words
    if got in wanted:
        return Verdict(CORRECT, 1.0)
    return Verdict(WRONG, 0.0, 0.0, f"expected {golds[0][:80]}, got {boxed[:80]}")


def items(text: str) -> list[str]:
    """The items of an answer: "[3, 1, 2]", "3,1,2" and "3 1 2" are three, "yes" is one."""
    text = normalise(_MACRO.sub(r"\1", text))
    for sign, spellings in _CONNECTIVES:
        text = spellings.sub(f" {sign} ", text)
    text = _ARROW.sub(" → ", text).replace("\\{", "").replace("\\}", "").casefold()
    text = re.sub(r"[\[\](){}\"'`]", " ", text).replace("\\", " ")
    parts = [part.strip(":") for part in re.split(r"[,;\s]+", text.strip())]
    return [_item(part) for part in parts if part not in _JOINING]


def _pairs_of(answer: object) -> dict[str, str] | None:
    """{"a": 1} and `a: 1` as names with what they are; None for anything else."""
    if isinstance(answer, dict):
        return {str(k).casefold(): _item(str(v).casefold()) for k, v in answer.items()}
    if len(str(answer)) > _MAX_CHARACTERS:
        return None
    text = _MACRO.sub(r"\1", str(answer)).replace("\\", "").strip().strip("{}")
    pairs: dict[str, str] = {}
    for part in text.split(","):
        name, colon, value = (piece.strip().strip("\"'") for piece in part.partition(":"))
        if not (name and colon and value) or ":" in value:
            return None
        pairs[name.casefold()] = _item(value.casefold())
    return pairs


def _item(text: str) -> str:
    number = decimal_of(text)
    return plain(number) if number is not None else text
