"""Prompts that hold no question with one answer of their own: several parts, another row's text, proofs, essays."""

import re

from ringlite_cli.data.rules.prompts import PROMPTS
from ringlite_cli.domains import writes_code
from ringlite_cli.problems import Problem

_ORDERS = (
    r"(?:find|compute|determine|evaluate|calculate|solve|simplify|show|prove|explain|write|give|state|sketch|draw|list"
    r"|estimate|express|describe|repeat|use|verify|suppose|hence|do the same|plot|graph|convert|factori?[sz]?e?|expand"
    r"|differentiate|integrate|identify|name|count|construct|deduce|derive|obtain|arrange|sort|compare|complete|decide)"
    r"\b(?!\s+(?:is|are)\b)"
)
_INQUIRES = (
    r"(?:what|which|how|why|when|where|who|is|are|does|do|can|will|(?:at|in|for) (?:what|which|how))\b[^.!?]*?\?"
)
_ASKS_FIRST = rf"[\s*$]*(?:{_ORDERS}|{_INQUIRES})"
"""A part asks by an order, or by a question that ends as one: "(b) does not end in 5." is a condition."""
_ASKS_IN_CHINESE = r"[^。；;\n]{0,40}?(?:求|计算|证明|写出|判断|说明|多少|几|[?？]|是否|为何)"


_OPEN_MARK = r"(?:^|[\s*$])[(\[]?"
_EITHER = rf"(?:(?={_ASKS_FIRST}).+?|.+?(?<!\band)(?<!\bor))"
"""What stands before the second mark: a part that asks, or anything, if no "and" joins the two as conditions."""


def _parts(one: str, two: str, between: str = _EITHER) -> re.Pattern[str]:
    """Return the pattern of two parts under marks, the second of which asks."""
    return re.compile(rf"{one}[\s*$]{between}[\s*$]+[(\[]?{two}(?=[\s*$]){_ASKS_FIRST}", re.S | re.I)


_BOTH_ASK = rf"(?={_ASKS_FIRST}).+?"
_PARTS = (  # the second part asks; lists of conditions under (i), (ii) are one question
    _parts(rf"{_OPEN_MARK}a[)\]]", r"b[)\]]"),
    _parts(rf"{_OPEN_MARK}i[)\]]", r"ii[)\]]"),
    _parts(r"(?:^|[\s*$])\(1\)", r"2\)"),
    _parts(r"(?:^|[\s*])a\.", r"b\.", _BOTH_ASK),
    _parts(r"(?:^|[\s*])i\.", r"ii\.", _BOTH_ASK),
    _parts(r"(?:^|[\s*])1[.)]", r"2[.)]", _BOTH_ASK),
    *(
        _parts(rf"(?:^|[\s*])(?:{name}) ?(?:1|a|i)[.):]*", rf"(?:{name}) ?(?:2|b|ii)[.):]*", _BOTH_ASK)
        for name in ("Question|Q|Task|Problem", "Part")
    ),
    re.compile(r"(?:^|\n)\s*Part (?:1|A|I)\b.+?\n\s*Part (?:2|B|II)\b", re.S),
    re.compile(
        r"\b(?:find|compute|determine|calculate|evaluate|answer|solve|give|state)"
        r" (?:each of )?(?:the following|these|each)"
        r"(?: (?:questions|parts|values|quantities|problems))?\s*:\s*\(?(?:1|a|i)[.)]\s.+?\s\(?(?:2|b|ii)[.)]\s",
        re.S | re.I,
    ),
    re.compile(  # (1) Find B; (2) if a = 2, find b
        rf"(?:^|[\s*$])[(\[]?(?:1|a|i)[)\]](?={_ASKS_FIRST}).+?[\s*$;][(\[]?(?:2|b|ii)[)\]]\s*"
        rf"(?:if|given|when|let|for|under|assuming)\b[^?!]{{1,200}}?[\s,]{_ORDERS}",
        re.S | re.I,
    ),
    re.compile(  # Find (i) the mean, (ii) the median
        r"\b(?:find|compute|determine|calculate|evaluate|state|give)"
        r" (?:both )?\(?(?:1|a|i)\)\s[^?]+?[\s,;]\(?(?:2|b|ii)\)\s",
        re.I,
    ),
)
_CHINESE_PARTS = (
    re.compile(
        r"[(（]\s*[1１一Ⅰi]\s*[)）]" + _ASKS_IN_CHINESE + r".*?[(（]\s*(?:[2２二Ⅱ]|ii)\s*[)）]" + _ASKS_IN_CHINESE, re.S
    ),
    re.compile(r"①" + _ASKS_IN_CHINESE + r".*?②" + _ASKS_IN_CHINESE, re.S),
    re.compile(
        r"(?:^|[\s。？?；])[1１一]\s*[.．、]"
        + _ASKS_IN_CHINESE
        + r".*?(?:[\s。？?；])[2２二]\s*[.．、]"
        + _ASKS_IN_CHINESE,
        re.S,
    ),
    re.compile(r"第[一1]问(?!卷).*?第[二2]问(?!卷)|问题\s*[一1].*?问题\s*[二2]", re.S),
)
_LISTED = re.compile(  # what stands before a list that is no list of questions
    r"\b(?:steps|rules|operations|procedure|instructions|algorithm|moves|actions|conditions|properties|facts"
    r"|statements)\b"
    r"[^.?!\n]{0,40}:\s*\Z|(?:条件|性质|规则|步骤|操作)[^。？?\n]{0,12}[:：]?\s*\Z",
    re.I,
)
_OTHER_ROW = (
    r"(?:question|problem|exercise|part|item|task|puzzle|riddle|subproblem|example|lemma|theorem|proposition)s?"
)
_LEANS = re.compile(
    rf"(?i:\b(?:previous|preceding|foregoing|prior) {_OTHER_ROW}\b"
    r"(?! (?:on|in|of) (?:the|this|a|his|her) (?:test|exam|quiz))"
    rf"|\b(?:the|this|that) {_OTHER_ROW} (?:above|before this)\b(?! (?:the|an?|it|sea|ground|water)\b| ?[$\\\d])"
    rf"|\bthe above {_OTHER_ROW}\b"
    rf"|\b(?:continu\w+|following on|carry\w* on) (?:on |over )?from (?:the )?(?:\w+ )?{_OTHER_ROW}\b)"
    r"|\b(?i:in|using|use|see|open|download|read|(?:of|from) the(?: \w+)? file) (?:the )?(?:\w+ ){0,2}[\"'“‘`]?[\w-]+"
    r"\.(?:txt|csv|tsv|xlsx?|pdf|docx?|zip)\b"
    r"|\b(?:answer|result|value|solution|output)s? (?:to|of|from|in|for) (?:the )?"
    r"(?:[Pp]roblem|[Qq]uestion|[Pp]art|[Ee]xercise) (?:\d+|\(?[a-h]\)|[A-H]\b)"
    r"|\b(?i:in|from|of|see|by|using|use|to|with) (?:[Pp]art \(?[a-h]\)|(?:Problem|Exercise|Example|Theorem|Lemma"
    r"|Proposition|Corollary|Section|Chapter|Eq(?:uation|\.)?) ?\(?\d+(?:\.\d+)*\)?)"
    r"|\A\s*(?:Solve|Do|Work|Complete|Answer) (?i:Problem|Question|Exercise|Example)s? \d+(?:\.\d+)*(?!\s*[:.)]\s*\S)"
    r"|\bT ?N ?Y ?W ?R\b|\b[Tt]he [Nn]umber [Yy]ou [Ww]ill [Rr]eceive\b"
    r"|\bas (?:in|for) (?:the )?(?:previous|last|preceding) (?:question|problem|exercise|part)\b"
    r"|\b(?:[Rr]epeat|[Rr]edo|[Rr]efer (?:back )?to|[Rr]econsider|[Rr]evisit"
    r"|(?:defined|described|given|found|obtained|stated|computed|derived|introduced) (?:in|by)) (?:the )?"
    r"(?i:Problem|Question|Exercise|Example)s? \d"
    r"|\b(?:setting|setup|situation|conditions|context|notation|data|scenario) (?:of|in|from|for)"
    r" (?i:Problem|Question|Exercise)s? \d"
    r"|\b[Cc]ontinu(?:ed|ing|ation) (?:from|of) (?:the )?above\b"
    r"|\A\s*[Ss]ame (?:\w+ )?as (?:above|before)\b"
)
_LEANS_IN_CHINESE = re.compile(
    r"(?:上|前)一(?:道?题|小题|问)(?!目|题)|(?<![\u4e00-\u9fff])(?:上|前)(?:小?题|问)(?!目|题)"
    r"|[接承由同如与在据对从用按将](?:上|前)(?:小?题|问)(?!目|题)|条件同上|\A同上|(?:利用|根据|由|用|仿照|参照|在|如)\s*例\s*\d|\A.{0,12}(?:上|前)述(?:问题|题目)|[上前]面的?(?:例题|例子|问题|题目?|小题|结论)|第[一1](?:小?题|问)(?:的)?(?:结果|结论|答案)"
    r"|(?:根据|利用|由|用)\s*第?\s*[(（][1-9一二三][)）]\s*(?:中|小?题|问)?的?(?:结论|结果|答案)"
)
_PASSAGE = re.compile(
    r"\b(?:based on|according to|refer(?:ring)? to|from|read) the (?:\w+ )?"
    r"(?:passage|article|excerpt|dialogue|transcript|case study)\b",
    re.I,
)
_OWN_PASSAGE = 300  # characters of a prompt that may hold the passage itself
_OWN_TEXT = 60  # characters before "the puzzle above", from which these are the puzzle
_VERSION_OF = re.compile(r"\b(?:version|variation|generali[sz]ation|form|analog(?:ue)?)\s+\Z", re.I)
_LAST = re.compile(
    r"\A(?!.*\b(?:test|exam|quiz|homework|contest|competition|points?|scores?|worksheet|solved|answered)\b)"
    r".*\b(?:from|in|of|to) the last (?:problem|question|exercise)\b",
    re.S | re.I,
)
_IN_SERIES = re.compile(r"\b(?:each|every|twice|than|as (?:many|much|\w+ as)|over|after|times)\b[^.?!]{0,60}\Z", re.I)
"""Before "the previous question": a step of a series that the text tells of."""
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
        "same ",
        *(".txt", ".csv", ".tsv", ".xls", ".pdf", ".doc", ".zip"),
        "continu",
        "example",
        "theorem",
        "lemma",
    ),
    *("proposition", "corollary", "section", "chapter", "eq.", "equation", "tnywr", "t n y", "receive"),
)
_PROOF = re.compile(
    r"\b(?:prove|show|demonstrate|verify|establish) that\b"
    r"|\b(?:prove|verify|establish) the (?:\w+ )?(?:identity|inequality|claim)\b"
    r"|(?:\A|[.!?;:,]\s+|\n|\b(?:then|hence|and)\s+)"
    r"(?:prove|deduce|show)\b(?! (?:your|all|the|each) (?:work|steps?|reasoning))"
    r"|\bgive a proof\b|证明|求证|试证",
    re.I,
)
_OPEN = re.compile(
    r"(?:\A|[.!?]\s+|\n)\s*(?:explain|justify|comment on|elaborate)\b"
    r"|\b(?:explain (?:why|how|your)|discuss|describe in your own words|write an essay"
    r"|describe (?:the |an? |its |their )?(?:\w+ )?(?:process|role|purpose|difference|relationship|importance|effects?"
    r"|significance|steps|how|why|what happens))\b"
    r"|说明理由|简述|简要|简答|论述|试述|谈谈|说说|谈一谈|阐述|解释",
    re.I,
)
_WHY = re.compile(r"(?:\A|[.!?]\s+|\n)\s*Why\b[^.!?]*\?\s*\Z|(?:为什么|为何|何以)[^。]*[?？]?\s*\Z")
_REASONS_WANTED = re.compile(  # open where the answer is no value
    r"[.?!]\s+(?:Explain|Justify|Discuss)(?: (?:your|why|how|the)\b[^.?!]*)?[.!]?\s*\Z"
    r"|[。？?！]\s*请?(?:解释|说明|阐述)(?:理由|原因)?[。！]?\s*\Z|\b[Gg]ive an example of\b"
)
_ANY_WILL_DO = re.compile(
    r"\b(?:give|name|state|find|write(?: down)?) (?:just |only )?one (?:possible|example|such)\b"
    r"|\bany (?:one )?(?:valid|correct|such|possible) (?:answer|example|value|solution) (?:will|is|would)\b"
    r"|(?:写|举|说)出?一个(?!数字)|任写|写出?一种|一个即可|答案不唯一",
    re.I,
)
_VALUE = re.compile(r"\d|\\[a-zA-Z]|\b[a-zA-Z]\b|[=^]")
_OPEN_WORDS = (
    "prove",
    "show",
    "proof",
    "explain",
    "discuss",
    "describe",
    "example",
    "essay",
    "demonstrate",
    "verify",
    "establish",
    "证",
    "说明",
    "述",
    "简",
    "谈",
    "说",
    "deduce",
    "elaborate",
    "comment",
    "阐",
    "justify",
    "解释",
)
_ASKS = re.compile(
    r"\?|？|\b(?:find|compute|determine|evaluate|calculate|what|how many|solve|simplify)\b|求(?!证)|计算|多少|几", re.I
)


@PROMPTS.rule
def multi_part(problem: Problem) -> str | None:
    """Several questions under (a), (b), (1), (2) or the like: no single answer."""
    lower = problem.prompt.lower()
    patterns = _PARTS if any(map(lower.__contains__, ("b)", "b]", "i)", "2)", "2.", "b.", "i.", "2:", "part"))) else ()
    if not lower.isascii():
        patterns = (*patterns, *_CHINESE_PARTS)
    found = (match for pattern in patterns if (match := pattern.search(problem.prompt)))
    return "multi_part" if any(not _LISTED.search(problem.prompt[: match.start()]) for match in found) else None


@PROMPTS.rule
def leans_on_another(problem: Problem) -> str | None:
    """Needs another row or a file: "the previous problem", "by Theorem 2", TNYWR of a relay, "names.txt"."""
    if writes_code(problem.domain):
        return None
    lower = problem.prompt.lower()
    found = _LEANS.finditer(problem.prompt) if any(map(lower.__contains__, _OTHER_TEXTS)) else ()
    leans = (
        any(not _is_told(match) for match in found)
        or (len(problem.prompt) < _OWN_PASSAGE and _PASSAGE.search(problem.prompt))
        or (" the last " in lower and _LAST.search(problem.prompt))
        or (not lower.isascii() and _LEANS_IN_CHINESE.search(problem.prompt))
    )
    return "leans_on_another" if leans else None


def _is_told(mention: re.Match[str]) -> bool:
    """Whether what stands before a mention of another row says that the text tells of it itself."""
    before = mention.string[: mention.start()]
    if "above" in mention[0].lower() and len(before.strip()) > _OWN_TEXT:
        return True
    return bool(_IN_SERIES.search(before) or _VERSION_OF.search(before))


@PROMPTS.rule
def proof_or_open(problem: Problem) -> str | None:
    """Asks for a proof, a reason, an explanation or an essay and for nothing that a verifier can compare."""
    if str(problem.labels.get("question_type", "")).lower() == "proof":
        return "proof"
    if writes_code(problem.domain):
        return None
    lower = problem.prompt.lower()
    if _ANY_WILL_DO.search(problem.prompt):
        return "open_question"
    if ("why" in lower or "为" in lower or "何以" in lower) and _WHY.search(problem.prompt):
        return "open_question"
    if not any(map(lower.__contains__, _OPEN_WORDS)):
        return None
    if _REASONS_WANTED.search(problem.prompt) and not _VALUE.search(problem.answer or ""):
        return "open_question"
    if _ASKS.search(problem.prompt):
        return None
    if _PROOF.search(problem.prompt):
        return "proof"
    return "open_question" if _OPEN.search(problem.prompt) else None
