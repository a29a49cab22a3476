"""Prompts that hold no question with one answer of their own: several parts, another row's text, proofs, essays."""

import re

from ringlite_cli.data.rules.prompts import PROMPTS
from ringlite_cli.domains import writes_code
from ringlite_cli.problems import Problem

_ASKS_FIRST = (
    r"\s*(?:find|compute|determine|evaluate|calculate|what|which|how|why|is|are|does|do|can|solve|simplify|show|prove"
    r"|explain|write|give|state|sketch|draw|list|estimate|express|describe|repeat|use|verify|suppose|hence)\b"
)
_ASKS_IN_CHINESE = r"[^。；;\n]{0,40}?(?:求|计算|证明|写出|判断|说明|多少|几|[?？]|是否|为何)"
_PARTS = (  # the second part asks; lists of conditions under (i), (ii) are one question
    re.compile(r"(?:^|\s)\(?a\)\s.+?\s\(?b\)" + _ASKS_FIRST, re.S | re.I),
    re.compile(r"(?:^|\s)\(?i\)\s.+?\s\(?ii\)" + _ASKS_FIRST, re.S | re.I),
    re.compile(r"(?:^|\s)\(1\)\s.+?\s\(2\)" + _ASKS_FIRST, re.S | re.I),
    re.compile(r"(?:^|\n)\s*1[.)]" + _ASKS_FIRST + r".+?\n\s*2[.)]" + _ASKS_FIRST, re.S | re.I),
    re.compile(r"(?:^|\n)\s*Part (?:1|A|I)\b.+?\n\s*Part (?:2|B|II)\b", re.S),
)
_CHINESE_PARTS = (
    re.compile(
        r"[(（]\s*[1１一Ⅰ]\s*[)）]" + _ASKS_IN_CHINESE + r".*?[(（]\s*[2２二Ⅱ]\s*[)）]" + _ASKS_IN_CHINESE, re.S
    ),
    re.compile(r"①" + _ASKS_IN_CHINESE + r".*?②" + _ASKS_IN_CHINESE, re.S),
    re.compile(r"第[一1]问.*?第[二2]问", re.S),
)
_OTHER_ROW = r"(?:question|problem|exercise|part|item|task|puzzle|riddle|subproblem)s?"
_LEANS = re.compile(
    rf"(?i:\b(?:previous|preceding|foregoing|prior) {_OTHER_ROW}\b"
    r"(?! (?:on|in|of) (?:the|this|a|his|her) (?:test|exam|quiz))"
    rf"|\b(?:the|this|that) {_OTHER_ROW} (?:above|before this)\b|\bthe above {_OTHER_ROW}\b"
    rf"|\b(?:continu\w+|following on|carry\w* on) (?:on |over )?from (?:the )?(?:\w+ )?{_OTHER_ROW}\b)"
    r"|\b(?:answer|result|value|solution|output)s? (?:to|of|from|in|for) (?:the )?"
    r"(?:[Pp]roblem|[Qq]uestion|[Pp]art|[Ee]xercise) (?:\d+|\(?[a-h]\)|[A-H]\b)"
    r"|\b(?i:in|from|of|see|by|using|use|to|with) (?:[Pp]art \(?[a-h]\)|(?:Problem|Exercise|Example|Theorem|Lemma"
    r"|Proposition|Corollary|Section|Chapter|Eq(?:uation|\.)?) ?\(?\d+(?:\.\d+)*\)?)"
    r"|\bT ?N ?Y ?W ?R\b|\b[Tt]he [Nn]umber [Yy]ou [Ww]ill [Rr]eceive\b"
    r"|\bas (?:in|for) (?:the )?(?:previous|last|preceding) (?:question|problem|exercise|part)\b"
)
_LEANS_IN_CHINESE = re.compile(
    r"(?:上|前)一?(?:道?题|小题|问)|(?:接|承|由|同)上题?|(?:上|前)述(?:问题|题目)|第[一1](?:小?题|问)(?:的)?(?:结果|结论|答案)"
    r"|(?:根据|利用|由|用)\s*[(（][1-9一二三][)）]\s*(?:中|小?题|问)?的?(?:结论|结果|答案)"
)
_OTHER_TEXTS = (  # one of these stands in whatever leans
    *(
        "question",
        "problem",
        "exercise",
        " part ",
        "(part ",
        " item",
        " task",
        "puzzle",
        "riddle",
        "example",
        "theorem",
        "lemma",
    ),
    *("proposition", "corollary", "section", "chapter", "eq.", "equation", "tnywr", "t n y", "receive"),
)
_PROOF = re.compile(r"\b(?:prove|show) that\b|\bgive a proof\b|证明|求证|试证", re.I)
_OPEN = re.compile(
    r"\b(?:explain (?:why|how|your)|discuss|describe in your own words|write an essay)\b"
    r"|说明理由|简述|简答|论述|谈谈|阐述|解释",
    re.I,
)
_WHY = re.compile(r"(?:\A|[.!?]\s+|\n)\s*Why\b[^.!?]*\?\s*\Z|为什么[^。]*[?？]?\s*\Z")
_OPEN_WORDS = (
    "prove",
    "show",
    "proof",
    "explain",
    "discuss",
    "describe",
    "essay",
    "证",
    "说明",
    "述",
    "简",
    "谈",
    "解释",
)
_ASKS = re.compile(
    r"\?|？|\b(?:find|compute|determine|evaluate|calculate|what|how many|solve|simplify)\b|求(?!证)|计算|多少|几", re.I
)


@PROMPTS.rule
def multi_part(problem: Problem) -> str | None:
    """Several questions under (a), (b), (1), (2) or the like: no single answer."""
    lower = problem.prompt.lower()
    patterns = _PARTS if any(map(lower.__contains__, ("b)", "i)", "2)", "2.", "part"))) else ()
    if not lower.isascii():
        patterns = (*patterns, *_CHINESE_PARTS)
    return "multi_part" if any(pattern.search(problem.prompt) for pattern in patterns) else None


@PROMPTS.rule
def leans_on_another(problem: Problem) -> str | None:
    """Needs the text or the answer of another row: "the previous problem", "by Theorem 2", TNYWR of a relay."""
    if writes_code(problem.domain):
        return None
    lower = problem.prompt.lower()
    leans = any(map(lower.__contains__, _OTHER_TEXTS)) and _LEANS.search(problem.prompt)
    leans = leans or (not lower.isascii() and _LEANS_IN_CHINESE.search(problem.prompt))
    return "leans_on_another" if leans else None


@PROMPTS.rule
def proof_or_open(problem: Problem) -> str | None:
    """Asks for a proof, a reason, an explanation or an essay and for nothing that a verifier can compare."""
    if str(problem.labels.get("question_type", "")).lower() == "proof":
        return "proof"
    if writes_code(problem.domain):
        return None
    lower = problem.prompt.lower()
    if ("why" in lower or "为什么" in lower) and _WHY.search(problem.prompt):
        return "open_question"
    if not any(map(lower.__contains__, _OPEN_WORDS)) or _ASKS.search(problem.prompt):
        return None
    if _PROOF.search(problem.prompt):
        return "proof"
    return "open_question" if _OPEN.search(problem.prompt) else None
