"""Which language a text is in, as far as the script and the commonest words tell; and whether it was asked for."""

import re
from collections import Counter
from collections.abc import Sequence

from ringlite_cli.data.rules.registry import Family
from ringlite_cli.problems import Problem

LANGUAGE = Family("language", [])
LANGUAGES = ("en",)

_SCRIPTS = {
    "zh": "\u4e00-\u9fff",
    "ja": "\u3040-\u30ff",
    "ko": "\uac00-\ud7af",
    "ru": "\u0400-\u04ff",
    "ar": "\u0600-\u06ff",
    "he": "\u0590-\u05ff",
    "hi": "\u0900-\u097f",
    "th": "\u0e00-\u0e7f",
}
_SCRIPT = {name: re.compile(f"[{letters}]") for name, letters in _SCRIPTS.items()}
_MATH_LETTER = re.compile("[\u0370-\u03ff\u1f00-\u1fff\u2100-\u214f]")
_FORMULA = re.compile(r"\$[^$]*\$|\\\[.*?\\\]|\\\(.*?\\\)|```.*?```|\\[a-zA-Z]+", re.S)
_WORD = re.compile(r"[^\W\d_]{2,}")
_COMMON = {
    "en": "the of and is in to are that find what how many if for with on each at by from has be as it an he she",
    "fr": "le les des est et une dans que qui pour sur avec sont soit trouver combien quel du au aux par on ne",
    "de": "der die das und ist ein eine den dem von mit auf für sind sei wie viele bestimmen zu im nicht es",
    "es": "el los las una es en que por con para del se un son cuántos hallar cuál determine sea como al su",
    "pt": "os as um uma em que por com para do da são seja quantos determine qual não no na ao dos se",
    "it": "il gli una di che per con del della sono sia quanti trovare nel è un dei si al da",
}
KNOWN = (*_COMMON, *_SCRIPTS)
_LANGUAGES_OF = {
    word: {name for name, words in _COMMON.items() if word in words.split()}
    for words in _COMMON.values()
    for word in words.split()
}
_FOREIGN = frozenset(_LANGUAGES_OF) - set(_COMMON["en"].split())
_DISTINCT = 3  # different common words of other languages, below which a text is not looked at
_ENOUGH = 5  # common words of a language before it is believed


def language_of(text: str) -> str:
    """A two-letter code; "en" where nothing speaks against it (a bare formula is in any language)."""
    if not text.isascii():
        letters = [c for c in text if c.isalpha() and not _MATH_LETTER.match(c)]
        for name, pattern in _SCRIPT.items():
            if sum(bool(pattern.match(c)) for c in letters) * 3 > len(letters) > 0:
                return "ja" if name == "zh" and _SCRIPT["ja"].search(text) else name
    if len(_FOREIGN.intersection(text.lower().split())) < _DISTINCT:
        return "en"
    counts: Counter[str] = Counter()
    for word in _WORD.findall(_FORMULA.sub(" ", text) if "$" in text or "\\" in text or "`" in text else text):
        for name in _LANGUAGES_OF.get(word.lower(), ()):
            counts[name] += 1
    best, hits = counts.most_common(1)[0] if counts else ("en", 0)
    return best if hits >= _ENOUGH and hits > 2 * counts["en"] else "en"


def other_language(problem: Problem, asked: Sequence[str] = LANGUAGES) -> str | None:
    """The prompt is in a language that the recipe's `languages` (default: en) does not name."""
    return None if language_of(problem.prompt) in asked else "other_language"


@LANGUAGE.rule
def language(problem: Problem) -> str | None:
    """The prompt is in a language that the recipe's `languages` (default: en) does not name, by script and words."""
    return other_language(problem)
